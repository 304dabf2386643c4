// One timer for everything on the screen that shows an age.

import { useSyncExternalStore } from 'react';
import { collectorNow } from './api';

const STEP_MS = 5_000;

const readers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | null = null;
let now = collectorNow();

function tick(): void {
  now = collectorNow();
  readers.forEach((tell) => tell());
}

export function subscribe(reader: () => void): () => void {
  readers.add(reader);
  if (timer === null) {
    now = collectorNow();
    timer = setInterval(tick, STEP_MS);
  }
  return () => {
    readers.delete(reader);
    if (readers.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

/** The collector's time, renewed every few seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}
