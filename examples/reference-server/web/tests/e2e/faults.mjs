// Faults in groups, and the filter that finds their executions.

const BROKEN = `document: { dsl: '1.0.3', namespace: bank, name: payout, version: '1.0.0' }
do:
- check: { set: '\${ . }' }
- route: { switch: [ { known: { when: '\${ .amount < 1000 }', then: refuse } }, { large: { then: stop } } ] }
- refuse: { raise: { error: { type: 'https://bank.example/errors/account-closed', status: 410, title: Account closed, detail: '\${ "account \\(.account) was closed" }' } } }
- stop: { raise: { error: { type: 'https://bank.example/errors/limit', status: 409, title: Over the limit, detail: 'the daily limit is used up' } } }
`;

export async function faults({ page, call, heading, shoot, begin }) {
  begin('executions fail for two reasons');
  await call('/workflows', BROKEN, 'application/yaml');
  for (let number = 1; number <= 4; number += 1) {
    const input = { account: `DE0${number}`, amount: number === 4 ? 5_000 : number };
    const started = await call('/workflows/bank/payout/executions?wait=20s', { input, attributes: { branch: 'north' } });
    if (started.status() !== 200) throw new Error(`the execution did not end: ${await started.text()}`);
  }

  begin('they are gathered by reason');
  await page.getByRole('link', { name: 'Faults', exact: true }).click();
  await heading('Faults');
  const groups = page.getByRole('list', { name: 'Faults' });
  const closed = groups.getByRole('link', { name: /^3 .*account DE03 was closed/ });
  await closed.waitFor();
  await groups.getByText('the daily limit is used up').waitFor();
  await shoot('faults');

  begin('a filter with mistakes says where they are');
  const filter = page.getByRole('textbox', { name: 'Filter' });
  await filter.fill('status:odd colour:red');
  await filter.press('Enter');
  await page.getByText(/Column 8: a status is/).waitFor();
  await page.getByText(/Column 12: there is no field colour/).waitFor();
  await shoot('filter-mistakes');
  await filter.fill('workflow:bank/* started>-1h');
  await filter.press('Enter');
  await closed.waitFor();

  begin('a group leads to its executions');
  await closed.click();
  await heading('Executions');
  await page.waitForURL('**/executions?filter=fault*');
  const list = page.getByRole('list', { name: 'Executions' });
  await list.getByText('bank/payout').nth(2).waitFor();
  await shoot('executions-filtered');
  await page.getByRole('button', { name: 'What a filter can say' }).click();
  await page.getByRole('dialog').getByText('a minus turns a term round').waitFor();
  await shoot('filter-sheet', { themes: ['light'] });
  await page.keyboard.press('Escape');

  begin('an execution leads to others like it');
  await list.getByRole('link').first().click();
  await heading('bank/payout');
  await page.getByRole('link', { name: 'All executions that failed in this way' }).click();
  await heading('Executions');
  await list.getByText('bank/payout').nth(2).waitFor();
}
