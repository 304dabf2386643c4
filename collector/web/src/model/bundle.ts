// Evidence bundles: sizes, progress, and how they are. Pure.

import type { Bundle, Language } from '../api';

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;

/** A number of bytes with the largest unit (of 1024) that leaves at least one. */
export function size(bytes: number, language: Language): string {
  let unit = 0;
  let count = bytes;
  while (count >= 1024 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit: UNITS[unit],
    unitDisplay: unit === 0 ? 'long' : 'short',
    maximumFractionDigits: count < 10 && unit > 0 ? 1 : 0,
  }).format(count);
}

/** Whole per cent of an upload; 100 only when all of it is here. */
export function percent({ received, size }: Pick<Bundle, 'received' | 'size'>): number {
  return size <= 0 ? 0 : Math.min(100, Math.floor((received / size) * 100));
}

export type BundleState = 'open' | 'complete' | 'missing' | 'refused' | 'removed';

/** How it is, for people: a complete one whose file is gone is another thing. */
export function state(bundle: Pick<Bundle, 'state' | 'missing'>): BundleState {
  if (bundle.state === 'complete') return bundle.missing ? 'missing' : 'complete';
  if (bundle.state === 'refused' || bundle.state === 'removed') return bundle.state;
  return 'open';
}

/** What redaction replaced in all of it, and how many files were packed as they are. */
export function replaced({ contents }: Pick<Bundle, 'contents'>): { places: number; binary: number } {
  return {
    places: contents.reduce((sum, file) => sum + (file.replaced ?? 0), 0),
    binary: contents.filter((file) => file.replaced === null).length,
  };
}
