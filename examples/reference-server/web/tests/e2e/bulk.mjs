// The same done to many executions: a look before, progress, and what became of each.

import assert from 'node:assert/strict';

const MENDED = `document: { dsl: '1.0.3', namespace: bank, name: payout, version: '1.0.1' }
do:
- check: { set: '\${ . }' }
- route: { switch: [ { known: { when: '\${ .amount < 1000 }', then: refuse } }, { large: { then: stop } } ] }
- refuse: { set: { paid: by cheque } }
- stop: { set: { held: true } }
`;

export async function bulk({ page, call, heading, shoot, begin }) {
  const dialog = page.getByRole('dialog');
  const bar = page.locator('.toolbar');
  begin('a mended version is deployed');
  await call('/workflows', MENDED, 'application/yaml');

  begin('a look says what would be done to how many');
  await page.goto('/executions?filter=workflow%3Abank%2Fpayout&status=faulted');
  await heading('Executions');
  await page.getByRole('list', { name: 'Executions' }).getByText('bank/payout').nth(3).waitFor();
  await bar.getByRole('button', { name: 'Act on all' }).click();
  await dialog.getByText('workflow:bank/payout status:faulted').waitFor();
  await dialog.getByLabel('Do this to each').selectOption('suspend');
  await dialog.getByRole('button', { name: 'Look what it means' }).click();
  await dialog.getByRole('heading', { name: 'Suspend 4 executions' }).waitFor();
  await dialog.getByText('it fits none of them').waitFor();
  await dialog.getByText(/has ended/).waitFor();
  await shoot('bulk-refused');
  await dialog.getByRole('button', { name: 'Change' }).click();
  await dialog.getByLabel('Do this to each').selectOption('retry');
  await dialog.getByLabel('Version').fill('1.0.1');
  await dialog.getByLabel('Reason').fill('paid by cheque from now on');
  await shoot('bulk-form');
  await dialog.getByRole('button', { name: 'Look what it means' }).click();
  await dialog.getByText('it fits all of them').waitFor();
  await shoot('bulk-look');

  begin('it is done, and each has an outcome');
  await dialog.getByRole('button', { name: 'Retry 4 executions' }).click();
  await page.waitForURL('**/operations/blk_*');
  await heading('Retry 4 executions');
  await bar.getByText('Done', { exact: true }).waitFor();
  await page.getByLabel('Progress').getByText('4 of 4').waitFor();
  await page.getByText('by you: paid by cheque from now on').waitFor();
  await page.getByRole('list', { name: 'Executions' }).getByText('Done').nth(3).waitFor();
  await shoot('operation');
  await page.getByRole('button', { name: 'Refused' }).click();
  await page.getByText('None.').waitFor();

  begin('operations are listed, and faults are gone');
  await page.getByRole('link', { name: 'All operations' }).click();
  await heading('Operations');
  await page.getByRole('list', { name: 'Operations' }).getByText('Retry 4 executions').waitFor();
  assert.equal(await page.getByRole('list', { name: 'Operations' }).getByText('Suspend 4 executions').count(), 0, 'a look is no operation');
  await shoot('operations');
  await page.goto('/faults?filter=workflow%3Abank%2F*');
  await page.getByText('No faulted execution matches this filter').waitFor();
}
