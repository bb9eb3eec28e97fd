// System Chromium, started the same way by every end-to-end test.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function launch() {
  const executablePath = process.env.AUTERITY_CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (!executablePath) {
    throw new Error('no Chromium found; install the package chromium or set AUTERITY_CHROMIUM to its path');
  }
  return chromium.launch({ executablePath, args: FLAGS });
}

/** Collects what the page complains about; a call that the test provokes is named in `expected`. */
export function watch(page, expected = []) {
  const complaints = [];
  page.on('console', (message) => {
    const text = `${message.text()} ${message.location().url}`;
    const isExpected = expected.some((pattern) => pattern.test(text));
    if (message.type() === 'error' && !isExpected) complaints.push(text);
  });
  page.on('pageerror', (error) => complaints.push(`${error.name}: ${error.message}`));
  return complaints;
}
