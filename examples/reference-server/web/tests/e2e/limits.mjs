// Limits of a workflow, and what an execution that waits at one says. After `repair`, whose workflow it takes.

export async function limits({ page, call, heading, shoot, begin }) {
  begin('a limit is set');
  await page.goto('/workflows/travel/booking');
  const limits = page.getByRole('region', { name: 'Limits' });
  await limits.getByText('None.').waitFor();
  await limits.getByRole('button', { name: 'Change' }).click();
  const dialog = page.getByRole('dialog');
  const group = dialog.getByRole('group', { name: 'At work at the same time' });
  await group.getByRole('button', { name: 'Add' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByText('Fill this in.').waitFor();
  await group.getByLabel('At most').fill('1');
  await group.getByLabel('Per').fill('.guest');
  await shoot('workflow-limits');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await limits.getByText('1 at work per .guest').waitFor();
  await shoot('workflow-limited');

  begin('an execution beyond the limit says what it waits for');
  const start = () => call('/workflows/travel/booking/executions?version=1.0.0', { input: { guest: 'Ada' } });
  await start();
  const { id } = await (await start()).json();
  await page.goto(`/executions/${id}`);
  await heading('travel/booking');
  await page.locator('.toolbar').getByText('Pending').waitFor();
  await page.getByRole('complementary', { name: 'Details' }).getByText('1 of 1').waitFor();
  await shoot('execution-queued');
}
