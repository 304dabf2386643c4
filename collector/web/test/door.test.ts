// Every reason for which the collector refuses a log-in has its text in both languages.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { door as en } from '../src/i18n/door-en';
import { door as zh } from '../src/i18n/door-zh';
import { refusal } from '../src/pages/LoginPage';

test('every refusal of the provider’s way has a text', () => {
  const sources = ['mod.rs', 'jwt.rs'].map((name) =>
    readFileSync(join(import.meta.dirname, '../../src/access/oidc', name), 'utf8'),
  );
  const words = [...new Set(sources.join('\n').match(/"oidc-[a-z-]+"/g) ?? [])].map((word) => word.slice(1, -1));
  expect(words.length).toBe(18);
  for (const word of words) {
    expect(refusal(`?login=${word}`), word).toBe(`login.${word}`);
    expect(Object.keys(zh), word).toContain(`login.${word}`);
  }
  expect(Object.keys(en).filter((key) => key.startsWith('login.oidc-')).length).toBe(18);
});

test('an address cannot make the page say anything else', () => {
  for (const search of ['', '?login=', '?login=oidc', '?login=title', '?login=oidc-no', '?login=<b>', '?x=oidc-role']) {
    expect(refusal(search)).toBeNull();
  }
});
