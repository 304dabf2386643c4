import { describe, expect, test } from 'vitest';
import { wishOf } from '../src/model/maintenance';

const NOW = new Date('2026-11-22T10:00:00Z');

describe('a window of maintenance', () => {
  test('is of devices, a site or an agent', () => {
    const names = [JSON.stringify(['a-1', 'SN "7"']), JSON.stringify(['a-2', 'b'])];
    expect(wishOf('devices', names, '', 2, ' firmware ', NOW)).toEqual({
      devices: [
        { agent: 'a-1', id: 'SN "7"' },
        { agent: 'a-2', id: 'b' },
      ],
      until: '2026-11-22T12:00:00.000Z',
      reason: 'firmware',
    });
    expect(wishOf('site', ['SH-01'], '', 0.5, 'x', NOW)).toEqual({
      site: 'SH-01',
      until: '2026-11-22T10:30:00.000Z',
      reason: 'x',
    });
    expect(wishOf('agent', ['a-1'], '', 1, 'x', NOW)?.agent).toBe('a-1');
  });

  test('begins later where that is said, and lasts as long', () => {
    const later = wishOf('agent', ['a-1'], '2026-12-01T02:00', 2, 'x', NOW);
    const begins = new Date('2026-12-01T02:00').getTime();
    expect(later?.from).toBe(new Date(begins).toISOString());
    expect(later?.until).toBe(new Date(begins + 7_200_000).toISOString());
  });

  test('is not asked for while something is missing', () => {
    expect(wishOf('agent', [], '', 2, 'x', NOW)).toBeNull();
    expect(wishOf('agent', ['a-1'], '', 2, '  ', NOW)).toBeNull();
    expect(wishOf('agent', ['a-1'], 'soon', 2, 'x', NOW)).toBeNull();
    expect(wishOf('agent', ['a-1'], '', 0, 'x', NOW)).toBeNull();
  });
});
