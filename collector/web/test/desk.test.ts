import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { changed, FIELDS, isKind, KINDS, levelsAbove, mayDecide, mayKeep } from '../src/model/desk';

describe('the desk', () => {
  test('escalates upwards only', () => {
    expect(levelsAbove(null)).toEqual(['l2', 'l3', 'engineering']);
    expect(levelsAbove('l2')).toEqual(['l3', 'engineering']);
    expect(levelsAbove('engineering')).toEqual([]);
  });

  test('knows who decides and who keeps', () => {
    expect(['manager', 'administrator', 'service_desk', 'expert'].map((role) => mayDecide({ role }))).toEqual([true, true, false, false]);
    expect(['manager', 'service_desk', 'expert', 'customer'].map((role) => mayKeep({ role }))).toEqual([true, true, false, false]);
  });

  test('sends only what differs', () => {
    expect(changed({ a: '1', b: '' }, { a: '1', b: 'x', c: '', d: 'y' })).toEqual({ b: 'x', d: 'y' });
  });

  test('has the collector’s fields, in its order', () => {
    const source = readFileSync(join(import.meta.dirname, '../../src/masters/mod.rs'), 'utf8');
    for (const kind of KINDS) {
      expect(isKind(kind)).toBe(true);
      const body = new RegExp(`static ${kind.toUpperCase()}: \\[Field; \\d+\\] = \\[([^;]*)\\];`).exec(source)?.[1] ?? '';
      const names = [...body.matchAll(/(?:field|required)\("(\w+)"|(NOTE)/g)].map((m) => m[1] ?? 'note');
      expect(names.length).toBeGreaterThan(1);
      expect(FIELDS[kind].map((field) => field.name)).toEqual(names);
      const needed = [...body.matchAll(/required\("(\w+)"/g)].map((m) => m[1]);
      expect(FIELDS[kind].filter((field) => field.required).map((field) => field.name)).toEqual(needed);
    }
  });
});
