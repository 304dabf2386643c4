import { describe, expect, test } from 'vitest';
import { translator } from '../src/i18n';
import { faster, inOrder, instant, limitNames, range, share, took } from '../src/model/report';
import type { ReportGroup, Spread } from '../src/answers/reports';

const limit = (name: string) => ({ limit: name, decided: 1, kept: 1 });
const spread = (p50_ms: number | null): Spread => ({ count: 1, p50_ms, p90_ms: p50_ms });

describe('reports', () => {
  test('a range ends with the minute and has so many days', () => {
    const { from, to } = range(7, Date.parse('2026-11-23T00:00:01Z'));
    expect([from, to]).toEqual(['2026-11-16T00:01:00.000Z', '2026-11-23T00:01:00.000Z']);
  });

  test('shares have one digit, and none of nothing', () => {
    expect([share(1, 3), share(2, 2), share(0, 5), share(0, 0)]).toEqual([33.3, 100, 0, null]);
  });

  test('limits go along the way of a ticket, a house’s own last', () => {
    const all = ['tea', 'restore', 'respond', 'backup'].map(limit);
    expect(inOrder(all).map((one) => one.limit)).toEqual(['respond', 'restore', 'backup', 'tea']);
    const groups = [{ limits: [limit('restore')] }, { limits: [limit('respond'), limit('restore')] }] as ReportGroup[];
    expect(limitNames(groups)).toEqual(['respond', 'restore']);
  });

  test('halves are compared where there are some', () => {
    expect(faster(spread(2_000), spread(7_200_000))).toBe(3600);
    expect(faster(spread(4_000), spread(1_000))).toBe(0.3);
    expect([faster(spread(null), spread(1)), faster(spread(1), spread(null)), faster(spread(0), spread(1))]).toEqual([null, null, null]);
  });

  test('seconds below a minute, then two units', () => {
    const t = translator('en');
    expect([took(null, t, 'en'), took(1_234, t, 'en'), took(59_000, t, 'en')]).toEqual(['–', '1.2 sec', '59 sec']);
    expect(took(3_660_000, t, 'en')).toContain('1');
    expect(took(1_234, translator('zh-CN'), 'zh-CN')).toBe('1.2秒');
  });

  test('a moment is that of the browser’s clock, and nonsense is none', () => {
    expect(instant('2026-11-22T08:00')).toBe(new Date('2026-11-22T08:00').toISOString());
    expect([instant(''), instant('x')]).toEqual(['', '']);
  });
});
