// What a line of a ticket's timeline says. Pure.

import type { Language, TimelineEntry } from '../api';
import type { Translate } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { named } from '../i18n/named';
import { visible } from './evidence';

/** One line: a headline, and what a person wrote or the device said. */
export interface Line {
  head: string;
  body: string;
  /** Who did it, in words. */
  who: string;
  /** A person, an agent or the collector itself. */
  by: 'user' | 'agent' | 'collector';
}

type Detail = Readonly<Record<string, unknown>>;

function text(detail: Detail, ...names: string[]): string {
  for (const name of names) {
    const value = detail[name];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}

export function line(entry: TimelineEntry, t: Translate, language: Language): Line {
  const detail: Detail =
    typeof entry.detail === 'object' && entry.detail !== null ? (entry.detail as Detail) : {};
  return { ...author(entry.who, t), head: head(entry.what, detail, t), body: body(entry, detail, t, language) };
}

function author(who: string, t: Translate): Pick<Line, 'who' | 'by'> {
  const [kind, ...rest] = who.split(':');
  const name = rest.join(':');
  if (kind === 'user' && name !== '') return { who: t('who.user', { name }), by: 'user' };
  if (kind === 'agent' && name !== '') return { who: t('who.agent', { id: name }), by: 'agent' };
  if (kind === 'alertmanager' && name !== '') return { who: t('who.alertmanager', { name }), by: 'agent' };
  return { who: t('who.collector'), by: 'collector' };
}

function head(what: string, detail: Detail, t: Translate): string {
  const severity = (name: string) => named('severity', text(detail, name), t);
  const state = (name: string) => named('state', text(detail, name), t);
  switch (what) {
    case 'opened': {
      const known = severity('severity');
      if (text(detail, 'by') === 'person') return t('what.opened-person');
      return known === '' ? t('what.opened-plain') : t('what.opened', { severity: known });
    }
    case 'recurred': {
      const n = text(detail, 'recurrences', 'count');
      return n === '' ? t('what.recurred') : t('what.recurred-count', { n });
    }
    case 'severity':
      return changed(severity('from'), severity('to') || severity('severity'), 'severity', t);
    case 'state':
      return changed(state('from'), state('to') || state('state'), 'state', t);
    case 'priority':
      return changed(text(detail, 'from').toUpperCase(), text(detail, 'to').toUpperCase(), 'priority', t);
    case 'cleared':
      return t('what.cleared');
    case 'raised-again':
      return t('what.raised-again');
    case 'confirmed':
      return t('what.confirmed');
    case 'comment':
      return t('what.comment');
    case 'evidence':
      return t('what.evidence');
    case 'bundle':
      return t('what.bundle', { name: visible(text(detail, 'name')) });
    case 'clock-warning':
    case 'clock-breached':
    case 'clock-started':
    case 'clock-stopped':
    case 'clock-paused':
    case 'clock-resumed':
      return t(`what.${what}`, { clock: named('clock', text(detail, 'clock'), t) });
    case 'escalated':
      return t('what.escalated', {
        clock: named('clock', text(detail, 'clock'), t),
        to: named('level', text(detail, 'to'), t),
      });
    case 'assigned': {
      const name = text(detail, 'to', 'assignee', 'name');
      if (text(detail, 'by') === 'roster') return t('what.assigned-roster', { name });
      return name === '' ? t('what.assigned-nobody') : t('what.assigned', { name });
    }
    case 'called':
      return t('what.called', {
        name: text(detail, 'to'),
        level: named('level', text(detail, 'level'), t),
        step: named('step', text(detail, 'step'), t),
      });
    case 'call-expired':
      return t('what.call-expired', { name: text(detail, 'person') });
    case 'nobody-on-duty':
      return t('what.nobody-on-duty');
    case 'acknowledged':
      return t('what.acknowledged');
    case 'entitlement':
      return coverText(detail, t);
    case 'article':
      return t('what.article', { code: visible(text(detail, 'code')) });
    case 'plan':
      return t('what.plan', { plan: visible(text(detail, 'to')) });
    case 'class':
      return t('what.class', { to: named('class', text(detail, 'to'), t) });
    case 'category':
      return t('what.category', { to: named('category', text(detail, 'to'), t) });
    case 'major':
      return t(detail.major === true ? 'what.major' : 'what.major-not');
    case 'split': {
      const other = text(detail, 'new');
      return other === '' ? t('what.split-from', { other: text(detail, 'old') }) : t('what.split-into', { other });
    }
    case 'merged':
      return t('what.merged', { from: text(detail, 'from') });
    case 'flapping':
      return t('what.flapping', { n: text(detail, 'lives') });
    case 'fleet':
      return t('what.fleet', { sites: text(detail, 'sites'), model: visible(text(detail, 'model')) });
    case 'consequence':
      return t('what.consequence', {
        device: visible(text(detail, 'device')),
        part: visible(text(detail, 'resource')),
        type: visible(text(detail, 'type')),
      });
    case 'linked':
    case 'unlinked':
      return t(`what.${what}`, { other: text(detail, 'other') });
    default:
      return t('what.unknown', { what });
  }
}

/** Whether a contract covers it, and if not, why. */
export function coverText(cover: Detail, t: Translate): string {
  const contract = visible(text(cover, 'contract'));
  const day = text(cover, 'day');
  if (text(cover, 'verdict') === 'covered') {
    const until = text(cover, 'until');
    return until === ''
      ? t('what.entitlement-covered', { contract })
      : t('service.covered', { contract, until });
  }
  switch (text(cover, 'why')) {
    case 'expired':
      return t('cover.expired', { contract, day });
    case 'not-yet':
      return t('cover.not-yet', { contract, day });
    case 'unknown-contract':
      return t('cover.unknown-contract', { contract });
    case 'other-device':
      return t('cover.other-device', { contract });
    default:
      return t('cover.none');
  }
}

function changed(from: string, to: string, what: 'severity' | 'state' | 'priority', t: Translate): string {
  return from === '' ? t(`what.${what}-to`, { to: to || '?' }) : t(`what.${what}`, { from, to: to || '?' });
}

function body({ what, detail: raw }: TimelineEntry, detail: Detail, t: Translate, language: Language): string {
  if (typeof raw === 'string') return raw;
  const written = (DUTY.has(what) ? '' : reported(detail, t)) || text(detail, 'comment', 'text', 'note');
  const message = detail.message;
  if (typeof message === 'object' && message !== null && 'key' in message) {
    const { key, arguments: values } = message as { key: unknown; arguments?: unknown };
    if (typeof key === 'string') {
      return messageText({ key, arguments: (values ?? {}) as Record<string, string> }, written, language);
    }
  }
  if (written !== '') return written;
  if (DUTY.has(what)) return choice(detail, t);
  if (KNOWN.has(what)) return named('reason', text(detail, 'reason'), t);
  const list = Object.entries(detail).filter(([, value]) => typeof value !== 'object');
  return list.map(([name, value]) => `${name}: ${String(value)}`).join(', ');
}

/** What goes with a step: level, closing report, promised plan, the other ticket. */
function reported(detail: Detail, t: Translate): string {
  const lines = [
    [t('transition.level'), named('level', text(detail, 'level'), t)],
    [t('transition.plan'), text(detail, 'plan')],
    [t('transition.cause'), text(detail, 'cause')],
    [t('transition.fix'), text(detail, 'fix')],
    [t('service.merged-into'), text(detail, 'into')],
  ].filter(([, value]) => value !== '');
  if (lines.length === 0 || 'verdict' in detail) return '';
  const comment = text(detail, 'comment');
  return [...lines.map((pair) => pair.join(': ')), ...(comment === '' ? [] : [comment])].join('\n');
}

const DUTY = new Set(['assigned', 'called', 'call-expired', 'nobody-on-duty', 'acknowledged']);

/** Why this person and not the others, one line each. */
function choice(detail: Detail, t: Translate): string {
  if (!Array.isArray(detail.reasons)) return named('reason', text(detail, 'reason'), t);
  const lines = (detail.reasons as Detail[]).map((one) => {
    const why = named('why', text(one, 'why'), t).replace('{of}', text(one, 'of'));
    const level = named('level', text(one, 'level'), t);
    return text(one, 'person') === '' ? `${level}: ${why}` : `${text(one, 'person')} (${level}): ${why}`;
  });
  return lines.join('\n');
}

const KNOWN = new Set([
  'flapping',
  'fleet',
  'consequence',
  'entitlement',
  'class',
  'category',
  'major',
  'merged',
  'linked',
  'unlinked',
  'opened',
  'recurred',
  'severity',
  'priority',
  'state',
  'cleared',
  'raised-again',
  'confirmed',
  'comment',
  'evidence',
  'bundle',
  'assigned',
  'clock-warning',
  'clock-breached',
  'clock-started',
  'clock-stopped',
  'clock-paused',
  'clock-resumed',
  'plan',
  'article',
  'escalated',
]);
