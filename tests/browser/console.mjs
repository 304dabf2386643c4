// Drives the collector's console in a real browser, as a support engineer would, and fails on
// anything that the browser complains about.
//
//   node console.mjs --url https://localhost:8443 --user admin --password-file F --shots DIR \
//     [--new-password-file F] [--expect-device NAME --expect-resource NAME] [--expect-evidence TEXT] \
//     [--expect-agent ID] [--expect-bundle NAME] [--fault-timeout-s 30]
//
// With --expect-bundle NAME it prints READY-FOR-BUNDLE and the ticket's number when the ticket's page is
// open; whoever started it then uploads a bundle of that name for it, and it must appear by itself.
// With --expect-device it prints READY-FOR-FAULT when the queue is open and live; whoever started
// it then makes the fault, and its ticket must appear without the page being touched.

import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Session } from './session.mjs';
import { byTelephone, knowledge, masters, promises } from './desk.mjs';
import { many } from './queue.mjs';
import { reports, screens, split } from './report.mjs';
import { audit, bundle, fleet, language, leave, logIn, queue, reconnect, ticket } from './steps.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    user: { type: 'string', default: 'admin' },
    'password-file': { type: 'string' },
    'new-password-file': { type: 'string' },
    shots: { type: 'string', default: 'shots' },
    'expect-device': { type: 'string' },
    'expect-resource': { type: 'string', default: '' },
    'expect-evidence': { type: 'string' },
    'expect-agent': { type: 'string' },
    'expect-bundle': { type: 'string' },
    'fault-timeout-s': { type: 'string', default: '30' },
    browser: { type: 'string', default: process.env.CALLHOME_BROWSER ?? '/usr/bin/chromium' },
  },
});

const firstLine = (file) => readFileSync(file, 'utf8').split(/\r?\n/, 1)[0];

if (!options.url || !options['password-file']) {
  console.error('usage: console.mjs --url URL --user NAME --password-file F --shots DIR …');
  process.exit(2);
}

const wanted = {
  url: options.url.replace(/\/$/, ''),
  user: options.user,
  password: firstLine(options['password-file']),
  newPassword: options['new-password-file'] ? firstLine(options['new-password-file']) : 'correct horse battery staple',
  device: options['expect-device'],
  resource: options['expect-resource'],
  evidence: options['expect-evidence'],
  agent: options['expect-agent'],
  bundle: options['expect-bundle'],
  faultTimeoutMs: Number(options['fault-timeout-s']) * 1_000,
};

mkdirSync(options.shots, { recursive: true });
const session = await Session.open(options.browser, options.shots);
try {
  for (const step of [logIn, queue, ticket, bundle, language, fleet, audit, masters, promises, byTelephone, knowledge, many, split, reports, screens, reconnect, leave]) {
    await session.step(step.name, () => step(session, wanted));
  }
} catch {
  // The step has said what failed; the rest would only follow from it.
} finally {
  await session.close();
}
console.log(`${session.passed} passed, ${session.failed} failed`);
process.exitCode = session.failed === 0 ? 0 : 1;
