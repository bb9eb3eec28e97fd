// A schedule: made with a preview, started by hand, paused, changed, made up for, deleted.

export async function schedules({ page, heading, shoot, begin }) {
  const bar = page.locator('.toolbar');
  const dialog = page.getByRole('dialog');

  begin('the schedules are found');
  await page.getByRole('link', { name: 'Schedules', exact: true }).click();
  await heading('Schedules');
  // A server with demo data makes some.
  const empty = page.getByText('No schedules yet');
  await empty.or(page.getByRole('list', { name: 'Schedules' })).waitFor();
  await shoot('schedules-before');

  begin('a schedule says what it means before it is made');
  await bar.getByRole('link', { name: 'New schedule' }).click();
  await heading('New schedule');
  const meaning = page.getByRole('complementary', { name: 'What it means' });
  await page.getByLabel('Cron expression').fill('61 2 * * *');
  await meaning.locator('.mistake').waitFor();
  await page.getByRole('button', { name: 'Make schedule' }).click();
  await page.getByText('Fill this in.').waitFor();
  await page.getByLabel('Name', { exact: true }).fill('Check invoices at night');
  await page.getByLabel('Workflow', { exact: true }).selectOption('finance/invoice-check');
  await page.getByLabel('Cron expression').fill('30 2 * * MON-FRI');
  await page.getByLabel('Time zone').fill('Europe/Berlin');
  await meaning.getByText(/02:30/).first().waitFor();
  await page.getByLabel('The last execution still runs').selectOption('skip');
  await page.getByLabel('Pause after failures').fill('3');
  await page.locator('form .cm-content').last().fill('{"supplier": "Northwind Paper", "number": "NW-1", "amount": 40, "currency": "EUR"}');
  await shoot('schedule-new');
  await page.getByRole('button', { name: 'Make schedule' }).click();
  await heading('Check invoices at night');
  await bar.getByText('Active').waitFor();

  begin('a schedule is started by hand');
  await bar.getByRole('button', { name: 'Start now' }).click();
  await dialog.getByRole('button', { name: 'Start now' }).click();
  const runs = page.getByRole('list', { name: 'Runs' });
  await runs.getByRole('link').first().waitFor();

  begin('a range is made up for');
  await bar.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Make up for a range' }).click();
  await dialog.getByLabel('From').fill('2026-03-02T00:00');
  await dialog.getByLabel('To', { exact: true }).fill('2026-03-05T00:00');
  await shoot('schedule-backfill');
  await dialog.getByRole('button', { name: 'Make up' }).click();
  await page.getByRole('heading', { name: 'Ranges made up for' }).waitFor();

  begin('a schedule is paused, and changed');
  await bar.getByRole('button', { name: 'Pause' }).click();
  await dialog.getByLabel('Reason').fill('closed for the year');
  await dialog.getByRole('button', { name: 'Pause' }).click();
  await bar.getByText('Paused').waitFor();
  await page.getByText(/closed for the year/).waitFor();
  await shoot('schedule');
  await bar.getByRole('button', { name: 'Resume' }).click();
  await dialog.getByRole('button', { name: 'Resume' }).click();
  await bar.getByText('Active').waitFor();
  await bar.getByRole('link', { name: 'Edit' }).click();
  await page.getByRole('radio', { name: 'In equal distances' }).check();
  await page.getByLabel('Every', { exact: true }).fill('6 h');
  await page.getByRole('button', { name: 'Save' }).click();
  await bar.getByRole('link', { name: 'Edit' }).waitFor();
  await page.getByText('Every 6 h').waitFor();

  begin('lists show the schedule');
  await page.getByRole('link', { name: 'Schedules', exact: true }).click();
  await page.getByRole('list', { name: 'Schedules' }).getByText('Check invoices at night').waitFor();
  await shoot('schedules');
  await page.goto('/workflows/finance/invoice-check');
  await page.getByRole('region', { name: 'Schedules' }).getByText('Check invoices at night').waitFor();

  begin('a schedule is deleted');
  await page.getByRole('region', { name: 'Schedules' }).getByRole('link', { name: 'Check invoices at night' }).click();
  await bar.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await dialog.getByRole('button', { name: 'Delete schedule' }).click();
  await heading('Schedules');
  await page.getByText('Check invoices at night').waitFor({ state: 'detached' });
}
