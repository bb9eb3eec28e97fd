// Human tasks: found in the inbox, taken, refused at the field, answered, seen in the execution.
import assert from 'node:assert/strict';

const DEFINITION = `document: { dsl: '1.0.3', namespace: finance, name: expense, version: '1.0.0', title: Expense }
do:
- decide:
    call: approval
    with:
      title: '\${ "Pay \\(.amount) EUR to \\(.payee)?" }'
      description: 'The supplier is new: compare the account with the contract.'
      data: '\${ . }'
      form:
        type: object
        required: [account, category]
        properties:
          account: { type: string, title: Bank account, minLength: 3 }
          category: { type: string, title: Category, enum: [travel, hardware, other] }
          amount: { type: number, title: Amount, minimum: 1, maximum: 5000, description: What is paid of it. }
          items: { type: integer, title: Items, minimum: 1 }
          on: { type: string, format: date, title: Pay on }
          note: { type: string, format: textarea, title: Note to the supplier }
          urgent: { type: boolean, title: Pay today }
      deadline: P2D
      escalation: { after: P1D, to: { roles: [owner] } }
- done: { set: { outcome: '\${ .outcome }', account: '\${ .data.account }' } }
`;

export async function tasks({ page, call, heading, shoot, begin }) {
  begin('an inbox without tasks says what it is for');
  await page.goto('/tasks');
  await heading('Tasks');
  await page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();

  begin('what a workflow asks is in the inbox and counted');
  assert.equal((await call('/workflows', DEFINITION, 'application/yaml')).status(), 201);
  const started = await call('/workflows/finance/expense/executions', { input: { payee: 'Northwind', amount: 1250 } });
  const execution = (await started.json()).id;
  await call('/workflows/finance/expense/executions', { input: { payee: 'Fabrikam', amount: 80 } });
  await page.goto(`/executions/${execution}`);
  await page.locator('.toolbar').getByText('Waiting').waitFor();
  await page.getByRole('complementary', { name: 'Details' }).getByText('decide: an approval').waitFor();
  await page.getByRole('region', { name: 'Waits for people' }).getByRole('link', { name: /Northwind/ }).waitFor();
  await shoot('execution-asks');
  await page.getByRole('link', { name: /^Tasks/ }).first().click();
  await heading('Tasks');
  await page.getByRole('list', { name: 'Tasks' }).getByText('Pay 80 EUR to Fabrikam?').waitFor();
  await page.getByRole('link', { name: /^Tasks.*waiting for you: 2/ }).waitFor();
  await shoot('tasks');

  begin('mistakes stand at their fields');
  await page.getByRole('link', { name: /Northwind/ }).click();
  await heading('Pay 1250 EUR to Northwind?');
  await page.getByRole('button', { name: 'Take it' }).click();
  await page.locator('.toolbar').getByText('Taken').waitFor();
  await page.getByLabel('Bank account').fill('42');
  await page.getByLabel('Amount').fill('9000');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.getByText('Enter at least 3 characters.').waitFor();
  await page.getByText('Enter at most 5000.').waitFor();
  await shoot('task');

  begin('a task is handed on to members only');
  await page.getByRole('button', { name: 'Hand on…' }).click();
  await page.getByLabel('To', { exact: true }).fill('nobody@example.com');
  await page.getByRole('button', { name: 'Hand on', exact: true }).click();
  await page.getByText('nobody@example.com is no member of this tenant.').waitFor();
  await shoot('task-hand-on', { themes: ['dark'] });
  await page.getByRole('button', { name: 'Back', exact: true }).click();
  await page.getByRole('button', { name: 'Give back' }).click();
  await page.locator('.toolbar').getByText('Open').waitFor();

  begin('the answer goes to the execution');
  await page.getByLabel('Bank account').fill('DE 4711');
  await page.getByLabel('Category').selectOption('hardware');
  await page.getByLabel('Amount').fill('1250');
  await page.getByLabel('Pay on').fill('2026-12-01');
  await page.getByLabel('Comment').fill('As agreed.');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.locator('.toolbar').getByText('Completed').waitFor();
  await page.getByRole('region', { name: 'Answer' }).getByText('As agreed.').waitFor();
  await page.getByRole('complementary', { name: 'About the task' }).getByText('answered: approved').waitFor();
  await shoot('task-answered');
  await page.goto(`/executions/${execution}`);
  await page.locator('.toolbar').getByText('Completed').waitFor();
  await page.getByLabel('Output', { exact: true }).getByText('DE 4711').first().waitFor();
  await page.getByRole('tab', { name: /Events/ }).click();
  await page.getByText('human_task.completed').waitFor();
  await page.goto('/tasks?view=answered');
  await page.getByRole('list', { name: 'Tasks' }).getByText('Northwind').waitFor();
}
