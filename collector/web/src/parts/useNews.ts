import { useEffect, useRef, useState } from 'react';
import type { TicketSummary } from '../api';
import { news, NOTHING_SEEN, type Seen } from '../model/queue';

const SHOWN_MS = 30_000;

export interface News {
  /** Whether a ticket appeared a moment ago. */
  has(number: string): boolean;
  /** The newest of them. */
  latest: string | null;
  /** How many came while the tab was in the background. */
  unseen: number;
}

/** Marks tickets that appear while `question` (the filter) stays the same. */
export function useNews(question: string, items: readonly TicketSummary[] | null): News {
  const seen = useRef<{ of: string; what: Seen } | null>(null);
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  const [latest, setLatest] = useState<string | null>(null);
  const [unseen, setUnseen] = useState(0);

  useEffect(() => {
    if (items === null) return;
    const first = seen.current?.of !== question;
    const before = first || !seen.current ? NOTHING_SEEN : seen.current.what;
    const [found, what] = news(before, items, first);
    seen.current = { of: question, what };
    if (found.length === 0) return;
    setFresh((now) => new Set([...now, ...found]));
    setLatest(found[0] ?? null);
    if (document.visibilityState === 'hidden') setUnseen((n) => n + found.length);
    setTimeout(() => {
      setFresh((now) => new Set([...now].filter((number) => !found.includes(number))));
    }, SHOWN_MS);
  }, [question, items]);

  useEffect(() => {
    const seenNow = () => {
      if (document.visibilityState === 'visible') setUnseen(0);
    };
    document.addEventListener('visibilitychange', seenNow);
    return () => document.removeEventListener('visibilitychange', seenNow);
  }, []);

  return { has: (number) => fresh.has(number), latest, unseen };
}
