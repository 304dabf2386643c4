import { describe, expect, test } from 'vitest';
import { translator } from '../src/i18n';
import { daysOf, isIcalendar, limits, parsed, withinText, years } from '../src/model/shelf';

describe('plans and calendars', () => {
  test('limits stand in the order in which they are due, with what each priority has', () => {
    const plan = {
      title: { 'zh-CN': '甲', en: 'A' },
      priorities: {
        p1: { restore: { within: '4h' }, respond: { within: 'at once' }, visit: { within: '2h' } },
        p2: { restore: { within: '8h', hours: '5x8' } },
      },
    };
    expect(limits(plan)).toEqual([
      { name: 'respond', within: { p1: { within: 'at once' } } },
      { name: 'restore', within: { p1: { within: '4h' }, p2: { within: '8h', hours: '5x8' } } },
      { name: 'visit', within: { p1: { within: '2h' } } },
    ]);
  });

  test('limits are told in words', () => {
    const languages = (['zh-CN', 'en'] as const).map(translator);
    const both = (within: string, hours?: string) =>
      languages.map((t) => withinText(hours === undefined ? { within } : { within, hours }, t));
    expect(both('at once')).toEqual(['立即', 'at once']);
    expect(both('30min')).toEqual(['30 分钟', '30 min']);
    expect(both('8h', '5x8')).toEqual(['8 小时（5x8）', '8 h (5x8)']);
    expect(both('next day', '5x8')).toEqual(['下一服务日（5x8）', 'next day (5x8)']);
    expect(both('next 10 days')).toEqual(['第 10 个服务日', 'day 10 from then']);
    expect(both('none')).toEqual(['–', '–']);
    expect(both('fortnight')).toEqual(['fortnight', 'fortnight']);
  });

  test('what is not JSON is told with its place', () => {
    expect(parsed('{"a": 1}')).toEqual({ value: { a: 1 } });
    const wrong = parsed('{\n  "a": 1,\n  b: 2\n}');
    expect(wrong).toMatchObject({ line: 3, column: 3 });
    expect(parsed('{"a": ')).toMatchObject({ line: 1 });
  });

  test('files are known by what they hold', () => {
    expect(isIcalendar('\uFEFFBEGIN:VCALENDAR\r\nEND:VCALENDAR')).toBe(true);
    expect(isIcalendar('{"days": []}')).toBe(false);
  });

  test('days are shown by year, those over New Year in both', () => {
    const days = [
      { from: '2026-10-01', to: '2026-10-07', kind: 'holiday', note: '国庆节' },
      { from: '2026-12-31', to: '2027-01-02', kind: 'holiday' },
      { from: '2026-02-14', kind: 'working', note: '补班' },
    ];
    expect(years(days)).toEqual(['2027', '2026']);
    expect(daysOf(days, '2026').map((day) => day.from)).toEqual(['2026-02-14', '2026-10-01', '2026-12-31']);
    expect(daysOf(days, '2027').map((day) => day.from)).toEqual(['2026-12-31']);
  });
});
