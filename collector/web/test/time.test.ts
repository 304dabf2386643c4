import { describe, expect, test } from 'vitest';
import { ago, date, dateTime, duration, readTime } from '../src/time';

const NOW = Date.parse('2026-01-31T08:00:00Z');
const before = (seconds: number, language: 'en' | 'zh-CN' = 'en') => ago(NOW - seconds * 1_000, NOW, language, 'now');

describe('ages', () => {
  test('use the largest whole unit', () => {
    expect(before(4)).toBe('now');
    expect(before(59)).toBe('59 sec. ago');
    expect(before(60)).toBe('1 min. ago');
    expect(before(3_599)).toBe('59 min. ago');
    expect(before(7_200)).toBe('2 hr. ago');
    expect(before(40 * 86_400)).toBe('40 days ago');
    expect(before(7_200, 'zh-CN')).toBe('2小时前');
    expect(before(90, 'zh-CN')).toBe('1分钟前');
  });

  test('never lie in the future', () => {
    expect(before(-300)).toBe('now');
  });
});

test('lengths', () => {
  expect(duration(0, 'en')).toBe('0 sec');
  expect(duration(59.9, 'en')).toBe('59 sec');
  expect(duration(86_500, 'zh-CN')).toBe('1天');
  expect(duration(-5, 'en')).toBe('0 sec');
});

test('times in both languages', () => {
  expect(dateTime(NOW, 'en', 'Asia/Shanghai')).toBe('31 Jan 2026, 16:00:00');
  expect(dateTime(NOW, 'zh-CN', 'Asia/Shanghai')).toBe('2026/01/31 16:00:00');
  expect(dateTime(Date.parse('2026-01-31T16:00:00Z'), 'zh-CN', 'Asia/Shanghai')).toBe('2026/02/01 00:00:00');
  expect(date(NOW, 'zh-CN', 'UTC')).toBe('2026/01/31');
});

test('reading', () => {
  expect(readTime('2026-01-31T08:00:00.123Z')).toBe(NOW + 123);
  for (const nothing of [null, undefined, '', 'yesterday']) expect(readTime(nothing)).toBeNull();
});
