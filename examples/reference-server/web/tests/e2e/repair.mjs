// Repair of an execution: suspend, skip, retry with another version, fork, migrate, cancel.

const definition = (version, tasks) => `document: { dsl: '1.0.3', namespace: travel, name: booking, version: '${version}' }
do:
- reserve: { call: echo, with: { room: 12, nights: 3 } }
${tasks}
- confirm: { call: echo, with: { booked: true } }
`;
const WAIT = '- approval: { wait: { hours: 6 } }';
const BROKEN = '- charge: { call: http, with: { method: post, endpoint: http://127.0.0.1:9/charges } }';
const MENDED = '- charge: { call: echo, with: { paid: 540 } }';

export async function repair({ page, call, heading, shoot, begin }) {
  begin('a workflow of three versions is deployed over HTTP');
  await call('/workflows', definition('1.0.0', `${WAIT}\n${BROKEN}`), 'application/yaml');
  await call('/workflows', definition('1.0.1', `${WAIT}\n${MENDED}`), 'application/yaml');
  await call('/workflows', definition('2.0.0', MENDED), 'application/yaml');
  const started = await call('/workflows/travel/booking/executions?version=1.0.0', { input: { guest: 'Ada' } });
  const { id } = await started.json();

  const bar = page.locator('.toolbar');
  const dialog = page.getByRole('dialog');
  const state = (name) => bar.getByText(name, { exact: true }).first().waitFor();
  const task = (name) => page.getByRole('treeitem', { name });
  const choose = async (name) => {
    await bar.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name, exact: true }).click();
  };

  begin('an execution is suspended, and says so');
  await page.goto(`/executions/${id}`);
  await heading('travel/booking');
  await state('Waiting');
  await bar.getByRole('button', { name: 'Suspend' }).click();
  await dialog.getByText('No further task begins').waitFor();
  await dialog.getByLabel('Reason').fill('the bank is down');
  await shoot('repair-suspend');
  await dialog.getByRole('button', { name: 'Suspend' }).click();
  await state('Suspended');
  await page.getByText(/by you: the bank is down/).waitFor();
  await shoot('execution-suspended');

  begin('it is resumed by the keyboard alone');
  await bar.getByRole('button', { name: 'Resume' }).focus();
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  // The focus comes back a moment after the dialog is gone.
  await bar.locator('button:focus', { hasText: 'Resume' }).waitFor();
  await page.keyboard.press('Enter');
  await dialog.getByLabel('Reason').focus();
  await page.keyboard.press('Enter');
  await state('Waiting');

  begin('a task at work is skipped with an output');
  await task(/approval/).click();
  await page.getByRole('complementary', { name: 'Details' }).getByRole('button', { name: 'Skip' }).click();
  await dialog.getByText('The call under way is given up').waitFor();
  await shoot('repair-skip');
  await dialog.getByRole('button', { name: 'Skip task' }).click();
  await state('Faulted');

  begin('a retry says what runs again, and goes on with another version');
  await bar.getByRole('button', { name: 'Retry from a task' }).click();
  await dialog.getByText(/Runs again: 1 task; what acts outside once more: 1/).waitFor();
  await dialog.getByLabel('Version').selectOption('1.0.1');
  await dialog.getByLabel('Edit what it is given').check();
  await dialog.locator('.cm-content').waitFor();
  await dialog.getByText(/Runs again/).waitFor();
  await shoot('repair-retry');
  await dialog.getByRole('button', { name: 'Retry', exact: true }).click();
  await state('Completed');
  await page.getByRole('button', { name: 'Whole execution' }).click();
  await page.getByLabel('Interventions').getByText('Retried').waitFor();
  await shoot('execution-repaired');

  begin('a fork leaves the other execution alone');
  await bar.getByRole('button', { name: 'Fork' }).click();
  await dialog.getByText('the two share nothing').waitFor();
  await dialog.getByRole('button', { name: 'Fork', exact: true }).click();
  await page.waitForURL((url) => url.pathname.startsWith('/executions/exe_') && !url.pathname.endsWith(id));
  await state('Waiting');

  begin('a migration that does not map is refused with its reasons, one that maps is done');
  await choose('Migrate to a version');
  await dialog.getByLabel('Version').selectOption('2.0.0');
  await dialog.getByText('It does not map to 2.0.0').waitFor();
  await shoot('repair-migrate');
  await dialog.getByLabel('Version').selectOption('1.0.0');
  await dialog.getByText(/It maps from/).waitFor();
  await dialog.getByRole('button', { name: 'Migrate', exact: true }).click();
  await bar.locator('.tag').getByText('1.0.0').waitFor();

  begin('it is cancelled');
  await bar.getByRole('button', { name: 'Cancel', exact: true }).click();
  await dialog.getByRole('button', { name: 'Cancel execution' }).click();
  await state('Cancelled');
  await shoot('execution-cancelled');
}
