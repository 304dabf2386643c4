import { describe, expect, test } from 'vitest';
import { browserLanguage, translator } from '../src/i18n';
import { en, type Key } from '../src/i18n/en';
import { fill, placeholders } from '../src/i18n/format';
import { zh } from '../src/i18n/zh';
import { keysUsed } from './source';

describe('dictionaries', () => {
  const keys = Object.keys(en) as Key[];

  test('have the same keys', () => {
    expect(Object.keys(zh).sort()).toEqual([...keys].sort());
  });

  test('have the same placeholders', () => {
    for (const key of keys) expect([key, placeholders(zh[key])]).toEqual([key, placeholders(en[key])]);
  });

  test('have no empty text, and Chinese ones are Chinese', () => {
    const same = keys.filter((key) => zh[key] === en[key]);
    for (const key of keys) expect(zh[key].trim(), key).not.toBe('');
    // Names, and the two languages' own names, are the same in both.
    expect(same.sort()).toEqual(
      ['app.name', 'app.none', 'language.en', 'language.zh-CN', 'evidence.snmp', 'kind.snmp', 'nav.user', 'transition.confirm', 'who.user'].sort(),
    );
  });

  test('hold no text that nobody shows', () => {
    const { exact, prefixes } = keysUsed();
    const unused = keys.filter((key) => !exact.has(key) && !prefixes.some((prefix) => key.startsWith(prefix)));
    expect(unused).toEqual([]);
  });
});

test('placeholders are filled; a missing one is seen', () => {
  expect(fill('{a} of {b}', { a: 1, b: 'x' })).toBe('1 of x');
  expect(fill('{a}', {})).toBe('{a}');
  expect(fill('{a}', { a: '$& {a}' })).toBe('$& {a}');
  expect(translator('zh-CN')('queue.page', { n: 2 })).toBe('第 2 页');
});

test('the browser decides at first', () => {
  expect(browserLanguage(['zh-TW', 'en'])).toBe('zh-CN');
  expect(browserLanguage(['en-GB', 'zh-CN'])).toBe('en');
  expect(browserLanguage([])).toBe('en');
});
