// From sign-up to a finished execution, in a real browser.
//   AUTERITY_URL=http://127.0.0.1:8080 node tests/e2e/journey.mjs FOLDER
// Leaves screenshots of every screen, in both themes and two widths, in FOLDER.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, watch } from './browser.mjs';
import { bulk } from './bulk.mjs';
import { faults } from './faults.mjs';
import { limits } from './limits.mjs';
import { repair } from './repair.mjs';
import { schedules } from './schedules.mjs';
import { tasks as humanTasks } from './tasks.mjs';

const base = process.env.AUTERITY_URL;
const folder = process.argv[2];
if (!base || !folder) {
  console.error('usage: AUTERITY_URL=http://HOST:PORT node tests/e2e/journey.mjs FOLDER');
  process.exit(2);
}
await mkdir(folder, { recursive: true });

const WIDTHS = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
];
const stamp = Date.now().toString(36);
const member = { email: `journey-${stamp}@example.com`, password: 'a quiet instrument panel', name: `Journey ${stamp}` };

const browser = await launch();
const context = await browser.newContext({ viewport: WIDTHS[0], baseURL: base });
const page = await context.newPage();
page.setDefaultTimeout(15_000);
// The first refresh finds no session, and some calls below are meant to be refused.
const complaints = watch(page, [/status of 401.*\/auth\//, /status of 422.*\/(workflows|schedules|tasks)/, /status of 409.*\/workflows/, /status of 400.*\/executions\/faults/]);

let step = 'start';
const screens = [];

try {
  step = 'guests are led to the sign-in';
  await page.goto('/executions');
  await page.waitForURL('**/sign-in?to=*');
  await heading('Sign in');
  await shoot('sign-in');
  await page.getByLabel('E-mail').fill('nobody@example.com');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').filter({ hasText: 'do not match' }).waitFor();

  step = 'sign-up says what is wrong at the field';
  await page.getByRole('link', { name: 'Create an organisation' }).click();
  await heading('Create your organisation');
  await page.getByLabel('Organisation').fill(member.name);
  assert.equal(await page.getByLabel('Short name').inputValue(), `journey-${stamp}`);
  await page.getByLabel('Password').fill('short');
  await page.getByRole('button', { name: 'Create organisation' }).click();
  await page.getByText('Use at least 12 characters.').waitFor();
  await page.getByText('Enter an e-mail address').waitFor();
  await shoot('sign-up');

  step = 'sign-up lands at a sample';
  await page.getByLabel('E-mail').fill(member.email);
  await page.getByLabel('Password').fill(member.password);
  await page.getByRole('button', { name: 'Create organisation' }).click();
  await heading('Workflows');
  const empty = page.getByRole('heading', { name: 'No workflows yet' });
  await empty.or(page.getByRole('list', { name: 'Workflows' })).waitFor();
  if (await empty.isVisible()) {
    await shoot('workflows-empty');
    step = 'the sample is deployed in one click';
    await page.getByRole('button', { name: 'Deploy this sample' }).click();
  } else {
    // A server with demo data fills new organisations itself.
    step = 'the sample is deployed from the editor';
    await page.goto('/workflows/new?from=sample');
    await page.getByText('No problems').waitFor();
    await page.getByRole('button', { name: 'Deploy', exact: true }).click();
    await page.getByRole('link', { name: 'Start', exact: true }).click();
  }
  await heading('Start Invoice check');
  await shoot('start');

  step = 'form and JSON show the same input';
  await page.getByLabel('Amount').fill('2500');
  await page.getByRole('button', { name: 'JSON', exact: true }).click();
  await page.locator('.cm-content').getByText('2500').waitFor();
  await page.getByRole('button', { name: 'Form', exact: true }).click();
  assert.equal(await page.getByLabel('Amount').inputValue(), '2500');
  await page.getByLabel('Amount').fill('-1');
  await page.getByRole('button', { name: 'Start execution' }).click();
  await page.locator('.mistake').first().waitFor();
  await page.getByLabel('Amount').fill('2500');

  step = 'the execution is followed live to its end';
  await page.getByRole('button', { name: 'Start execution' }).click();
  await page.waitForURL('**/executions/exe_*');
  const execution = page.url();
  await page.getByRole('treeitem', { name: /check/ }).waitFor();
  await shoot('execution-live', { themes: ['light'] });
  await page.locator('.toolbar').getByText('Completed').waitFor({ timeout: 60_000 });
  const tasks = await page.getByRole('treeitem').count();
  assert.ok(9 <= tasks, `the timeline shows every task, not ${tasks}`);
  await page.getByLabel('Output', { exact: true }).getByText('booked').first().waitFor();

  step = 'a task shows what it gave';
  await page.getByRole('treeitem', { name: /book/ }).click();
  await page.getByRole('complementary', { name: 'Details' }).getByText(/^\/do\/4\/book/).waitFor();
  await shoot('execution');
  await page.getByRole('tab', { name: /Events/ }).click();
  await page.getByText('execution.ended').waitFor();
  await shoot('events');

  step = 'the session survives a reload';
  await page.goto(execution);
  await page.locator('.toolbar').getByText('Completed').waitFor();
  await page.getByRole('treeitem', { name: /book/ }).waitFor();
  const excess = await page.getByRole('tree').evaluate((tree) => {
    const end = tree.getBoundingClientRect().right;
    return [...tree.querySelectorAll('.bar')].filter((bar) => end < bar.getBoundingClientRect().right).length;
  });
  assert.equal(excess, 0, 'no bar of a finished execution leaves the axis');

  step = 'lists show the execution';
  await page.getByRole('link', { name: 'Executions', exact: true }).click();
  await heading('Executions');
  await page.getByRole('list', { name: 'Executions' }).getByText('finance/invoice-check').first().waitFor();
  await shoot('executions');
  await page.getByLabel('Status').selectOption('faulted');
  await page.waitForURL('**status=faulted');
  await page.getByRole('link', { name: 'Workflows', exact: true }).click();
  await page.getByRole('link', { name: /Invoice check/ }).first().waitFor();
  await shoot('workflows');

  step = 'mistakes stand at their line';
  await page.getByRole('link', { name: /^Invoice check/ }).click();
  await heading('Invoice check');
  await page.locator('.cm-content').waitFor();
  await page.getByText('No problems').waitFor();
  await shoot('workflow');
  const text = page.locator('.cm-content');
  // Only the lines in view are in the page.
  await text.click();
  await page.keyboard.press('Control+End');
  await text.getByText('then: approve').click();
  await page.keyboard.press('End');
  for (let index = 0; index < 'approve'.length; index += 1) await page.keyboard.press('Backspace');
  await page.keyboard.type('nowhere');
  await page.getByRole('region', { name: 'Problems' }).getByRole('button').first().waitFor();
  await shoot('workflow-problems');
  await page.getByRole('region', { name: 'Problems' }).getByRole('button').first().click();

  step = 'a changed definition becomes a new version';
  await page.keyboard.press('Control+z');
  for (let index = 0; index < 8 && (await page.getByText('No problems').count()) === 0; index += 1) {
    await page.keyboard.press('Control+z');
    await page.waitForTimeout(450);
  }
  await page.getByText('No problems').waitFor();
  await text.getByText('# Both checks').click();
  await page.keyboard.press('End');
  await page.keyboard.type(' Indeed.');
  await page.getByRole('button', { name: 'Deploy', exact: true }).click();
  await page.getByRole('button', { name: 'Deploy as 1.0.1' }).click();
  await page.locator('.toolbar .tag').getByText('1.0.1').waitFor();
  await shoot('workflow-versions', { themes: ['dark'] });

  const tools = { page, call: await caller(), heading, shoot, begin: (name) => (step = name) };
  await repair(tools);
  await faults(tools);
  await bulk(tools);
  await limits(tools);
  await schedules(tools);
  await humanTasks(tools);

  step = 'sign-out ends the session';
  await page.getByRole('button', { name: 'Sign out' }).click();
  await heading('Sign in');
  await page.goto('/workflows');
  await page.waitForURL('**/sign-in*');

  step = 'nothing was complained about';
  assert.deepEqual(complaints, []);
  console.log(`journey finished; ${screens.length} screenshots in ${folder}`);
} catch (error) {
  await page.screenshot({ path: join(folder, 'failed.png') }).catch(() => undefined);
  console.error(`failed while: ${step}\n${error.stack ?? error}`);
  for (const complaint of complaints) console.error(`the page complained: ${complaint}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

/** Posts to the API as the member, for what the journey needs and does not look at. */
async function caller() {
  const credentials = { email: member.email, password: member.password };
  const answer = await page.request.post(`${base}/api/v1/auth/sign-in`, { data: credentials });
  const { session } = await answer.json();
  return (path, data, type = 'application/json') =>
    page.request.post(`${base}/api/v1${path}`, {
      data, headers: { authorization: `Bearer ${session.access_token}`, 'content-type': type },
    });
}

async function heading(name) {
  await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
}

/** Both themes and widths of a screen; nothing may be wider than the window. */
async function shoot(name, { themes = ['light', 'dark'] } = {}) {
  for (const colorScheme of themes) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const size of WIDTHS) {
      await page.setViewportSize(size);
      await page.evaluate(() => document.fonts.ready);
      const path = join(folder, `${name}-${colorScheme}-${size.width}.png`);
      await page.screenshot({ path });
      screens.push(path);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(excess <= 0, `${name} is ${excess} px too wide at ${size.width}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: null });
  await page.setViewportSize(WIDTHS[0]);
}
