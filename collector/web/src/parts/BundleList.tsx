import { DownloadOutlined } from '@ant-design/icons';
import { Button, Progress } from 'antd';
import { useState } from 'react';
import { Link } from 'wouter';
import { bundleContent, type Bundle } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { percent, replaced, size, state } from '../model/bundle';
import { visible } from '../model/evidence';
import { CopyButton } from './CopyButton';
import { Moment } from './Moment';

/** The evidence bundles of a ticket. */
export function BundleList({ bundles }: { bundles: readonly Bundle[] }) {
  return (
    <div className="bundles">
      {bundles.map((bundle) => (
        <BundleBlock key={bundle.id} bundle={bundle} />
      ))}
    </div>
  );
}

function BundleBlock({ bundle }: { bundle: Bundle }) {
  const { t, language } = useI18n();
  const is = state(bundle);
  return (
    <article className="bundle" data-bundle={bundle.id} data-state={is}>
      <header>
        <strong className="name">{visible(bundle.name)}</strong>
        <span className="hint">{size(bundle.size, language)}</span>
        <span className={`mark bundle-${is}`}>{t(`bundle.${is}`)}</span>
        <span className="grow" />
        {is === 'complete' && (
          <Button size="small" icon={<DownloadOutlined />} href={bundleContent(bundle.id)} download>
            {t('bundle.download')}
          </Button>
        )}
      </header>
      {is === 'open' && <Upload bundle={bundle} />}
      {is === 'missing' && <p className="trouble">{t('bundle.missing-hint', { collector: bundle.collector })}</p>}
      {is === 'refused' && <p className="trouble">{t('bundle.refused-hint', { reason: bundle.reason ?? '' })}</p>}
      {is === 'removed' && (
        <p className="hint">
          {t('bundle.removed-hint')} <Moment at={bundle.removed_at} />
        </p>
      )}
      {bundle.note !== null && bundle.note !== '' && <p className="words">{visible(bundle.note)}</p>}
      <p className="hint sum">
        <span>{t('bundle.sha256')}</span> <code>{bundle.sha256}</code> <CopyButton text={bundle.sha256} />
      </p>
      <p className="hint">
        <Approval bundle={bundle} />
        {bundle.completed_at !== null && (
          <>
            {' · '}
            {t('bundle.arrived')} <Moment at={bundle.completed_at} />
          </>
        )}
      </p>
      <Contents bundle={bundle} />
    </article>
  );
}

function Upload({ bundle }: { bundle: Bundle }) {
  const { t, language } = useI18n();
  return (
    <>
      <Progress percent={percent(bundle)} size="small" status="active" aria-label={t('bundle.open')} />
      <p className="hint">
        {t('bundle.received', { got: size(bundle.received, language), all: size(bundle.size, language) })}
      </p>
    </>
  );
}

function Approval({ bundle }: { bundle: Bundle }) {
  const { t } = useI18n();
  if (bundle.approved_by === null) return <>{t('bundle.approved-unknown')}</>;
  const by = visible(bundle.approved_by);
  return (
    <>
      {bundle.approved_how === 'rule' ? t('bundle.approved-rule', { by }) : t('bundle.approved-person', { by })}{' '}
      <Moment at={bundle.approved_at} />
    </>
  );
}

/** What is in it: hidden until asked for, it may be two hundred files. */
function Contents({ bundle }: { bundle: Bundle }) {
  const { t, language } = useI18n();
  const [open, setOpen] = useState(false);
  if (bundle.contents.length === 0) return null;
  const { places, binary } = replaced(bundle);
  return (
    <>
      <Button type="link" size="small" aria-expanded={open} data-contents onClick={() => setOpen(!open)}>
        {t('bundle.contents', { n: bundle.contents.length, places, binary })}
      </Button>
      {open && (
        <ul className="contents">
          {bundle.contents.map((file, n) => (
            <li key={`${n} ${file.name}`}>
              <code>{visible(file.name)}</code> <span className="hint">{size(file.size, language)}</span>{' '}
              <span className={file.replaced === null ? 'mark binary' : 'hint'}>
                {file.replaced === null ? t('bundle.binary') : t('bundle.replaced', { n: file.replaced })}
              </span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** The uploads that an agent is at, with their tickets. */
export function UploadList({ bundles }: { bundles: readonly Bundle[] }) {
  const { t, language } = useI18n();
  return (
    <ul className="uploads">
      {bundles.map((bundle) => (
        <li key={bundle.id} data-bundle={bundle.id}>
          <Link href={`/tickets/${bundle.ticket}`}>{bundle.ticket}</Link> {visible(bundle.name)}{' '}
          <span className="hint">
            {named('bundle', 'open', t)} · {percent(bundle)} % ·{' '}
            {t('bundle.received', { got: size(bundle.received, language), all: size(bundle.size, language) })}
          </span>
        </li>
      ))}
    </ul>
  );
}
