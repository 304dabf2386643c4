import type { Agent, Heartbeat } from '../api';
import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { certificateState, outbox, sourcesOk, type AgentState } from '../model/fleet';
import { date, duration, readTime } from '../time';

export function AgentMark({ state }: { state: AgentState }) {
  const { t } = useI18n();
  return (
    <span className={`mark agent ${state}`} data-agent-state={state}>
      {t(`fleet.${state}`)}
    </span>
  );
}

export function SourceMark({ state }: { state: string }) {
  const { t } = useI18n();
  return <span className={`mark source ${state}`}>{named('fleet.source', state, t)}</span>;
}

export function OutboxText({ heartbeat }: { heartbeat: Heartbeat | null }) {
  const { t, language } = useI18n();
  const box = outbox(heartbeat);
  if (box === null) return <>{t('app.none')}</>;
  if (box.depth === 0) return <>{t('fleet.outbox-empty')}</>;
  return (
    <span className={box.oldestS > 300 ? 'warn' : ''}>
      {t('fleet.outbox-depth', { n: box.depth, age: duration(box.oldestS, language) })}
    </span>
  );
}

export function SourcesText({ agent }: { agent: Agent }) {
  const { t } = useI18n();
  const sources = agent.heartbeat?.sources ?? [];
  if (sources.length === 0) return <>{t('fleet.sources-none')}</>;
  const { ok, all, worst } = sourcesOk(sources);
  return <span className={`sources ${worst}`}>{t('fleet.sources-ok', { ok, all })}</span>;
}

export function CertificateText({ notAfter }: { notAfter: string | null }) {
  const { t, language } = useI18n();
  const now = useNow();
  const end = readTime(notAfter);
  const state = certificateState(notAfter, now);
  if (end === null || state === null) return <>{t('app.none')}</>;
  const note =
    state === 'expired'
      ? t('fleet.certificate-expired')
      : state === 'fine'
        ? null
        : t('fleet.certificate-soon', { age: duration((end - now) / 1_000, language) });
  return (
    <span className={`certificate ${state}`}>
      {date(end, language)}
      {note !== null && <span className="mark">{note}</span>}
    </span>
  );
}
