import { Button } from 'antd';
import { useState } from 'react';
import type { Evidence } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { excerpt, visible } from '../model/evidence';
import { CopyButton } from './CopyButton';
import { Moment } from './Moment';

/** What shows the fault, as it was read. */
export function EvidenceBlock({ evidence }: { evidence: Evidence }) {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  const text = visible(evidence.text);
  const { lines, shown, cut } = excerpt(text);
  return (
    <figure className="evidence" data-evidence={evidence.kind}>
      <figcaption>
        <span className="mark kind">{named('evidence', evidence.kind, t)}</span>
        <code className="origin">{evidence.origin}</code>
        <span className="grow" />
        <Moment at={evidence.at} />
        <CopyButton text={evidence.text} />
      </figcaption>
      <pre tabIndex={0}>{open || !cut ? text : shown}</pre>
      {cut && (
        <Button type="link" size="small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? t('evidence.less') : t('evidence.more', { n: lines })}
        </Button>
      )}
      {evidence.truncated && <p className="hint cutoff">{t('evidence.truncated')}</p>}
    </figure>
  );
}
