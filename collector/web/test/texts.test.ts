import { expect, test } from 'vitest';
import { allStrayTexts, strayTexts } from './source';

test('the check finds texts wherever they hide', () => {
  const stray = (source: string) => strayTexts('x.tsx', source).map((s) => s.replace(/^x\.tsx:\d+: /, ''));
  expect(stray('const a = <p>Hello</p>;')).toEqual(['Hello']);
  expect(stray("const a = <p>{'Hello'}</p>;")).toEqual(['Hello']);
  expect(stray('const a = <p>{b ? `Hi ${n}` : t("queue.title")}</p>;')).toEqual(['Hi']);
  expect(stray('const a = <Input placeholder="Name" name="x" />;')).toEqual(['Name']);
  expect(stray('const a = <a aria-label={"Open"} href="/x" />;')).toEqual(['Open']);
  expect(stray("const c = [{ title: 'Ticket', dataIndex: 'number' }];")).toEqual(['Ticket']);
  expect(stray("const c = f('工单');")).toEqual(['工单']);
  expect(stray('const a = <p>{t("queue.title")} · / 1</p>;')).toEqual([]);
});

test('no text stands outside the dictionaries', () => {
  expect(allStrayTexts()).toEqual([]);
});
