import { DownloadOutlined, ReloadOutlined } from '@ant-design/icons';
import { Button, Tooltip } from 'antd';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { useSearchParams } from 'wouter';
import { api, auditExport, type AuditEntry, type AuditFilter, type AuditState } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { isAuditFiltered, readAudit, writeAudit } from '../model/audit';
import { AuditFilters } from '../parts/AuditFilters';
import { AuditTable } from '../parts/AuditTable';
import { ChainPanel } from '../parts/ChainPanel';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

// Nothing tells of new entries: there is a button.
const never = () => false;
const loadState = (signal: AbortSignal) => api.auditState(signal);

/** The record of everything that touches trust: whether it is whole, and its entries. */
export default function AuditPage() {
  const { t } = useI18n();
  const [search, setSearch] = useSearchParams();
  const address = search.toString();
  const filter = useMemo(() => readAudit(new URLSearchParams(address)), [address]);
  const load = useCallback((signal: AbortSignal) => api.audit(filter, signal), [filter]);
  const { data, error, loading, reload } = useFetched(load, never);
  const chain = useFetched(loadState, never);
  const [verified, setVerified] = useState<AuditState | null>(null);
  const [shown, setShown] = useState<readonly AuditEntry[]>([]);
  useEffect(() => {
    if (data) setShown(data.items);
  }, [data]);
  // The cursors of the newer pages, so that one can go back.
  const [trail, setTrail] = useState<readonly (string | null)[]>([]);
  useTitle(t('audit.title'));

  const change = (part: Partial<AuditFilter>) => {
    setTrail([]);
    setSearch(writeAudit({ ...filter, before: null, ...part }), { replace: true });
  };
  const older = () => {
    setTrail([...trail, filter.before]);
    setSearch(writeAudit({ ...filter, before: data?.next ?? null }));
  };
  const newer = () => {
    setTrail(trail.slice(0, -1));
    setSearch(writeAudit({ ...filter, before: trail.at(-1) ?? null }));
  };
  const refresh = () => {
    reload();
    chain.reload();
    setVerified(null);
  };

  const state = verified ?? chain.data;
  const broken = state?.verdict?.whole === false ? Number(state.verdict.breaks[0]?.row ?? 0) : null;
  const trouble = error ?? chain.error;
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('audit.title')}</h1>
        <span className="hint">{t('audit.hint')}</span>
        <span className="grow" />
        <Button size="small" icon={<ReloadOutlined />} onClick={refresh} data-action="refresh">
          {t('audit.refresh')}
        </Button>
        <Tooltip title={t('audit.export-hint')}>
          <Button size="small" icon={<DownloadOutlined />} href={auditExport(filter)} download data-action="export">
            {t('audit.export')}
          </Button>
        </Tooltip>
      </div>
      {trouble !== null && <Trouble text={errorText(trouble, t)} onRetry={refresh} />}
      {state !== null && <ChainPanel state={state} onState={setVerified} />}
      <AuditFilters filter={filter} onChange={change} />
      <AuditTable
        items={data?.items ?? shown}
        loading={loading && error === null}
        brokenFrom={broken}
        empty={t(isAuditFiltered(filter) ? 'audit.empty-filter' : 'audit.empty')}
      />
      <div className="page-foot">
        <span className="grow" />
        <Button size="small" disabled={filter.before === null} onClick={newer}>
          {t('audit.newer')}
        </Button>
        <Button size="small" disabled={!data?.next} onClick={older} data-action="older">
          {t('audit.older')}
        </Button>
      </div>
    </div>
  );
}
