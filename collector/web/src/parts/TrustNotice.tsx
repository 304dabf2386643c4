import { Alert } from 'antd';
import { api, type OwnCertificate } from '../api';
import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { date, readTime } from '../time';

const never = () => false;
const load = (signal: AbortSignal) => api.trust(signal);

/** Says when one of the collector's own certificates comes near its end; nothing otherwise. */
export function TrustNotice() {
  const { data } = useFetched(load, never);
  const urgent = (data?.certificates ?? []).filter((c) => c.severity !== null);
  return (
    <>
      {urgent.map((c) => (
        <OwnEnd key={`${c.what} ${c.name}`} certificate={c} />
      ))}
    </>
  );
}

function OwnEnd({ certificate }: { certificate: OwnCertificate }) {
  const { t, language } = useI18n();
  const now = useNow();
  const end = readTime(certificate.not_after);
  if (end === null) return null;
  const words = { what: named('trust', certificate.what, t), name: certificate.name, date: date(end, language) };
  return (
    <Alert
      className="trust-notice"
      type={certificate.severity === 'warning' ? 'warning' : 'error'}
      showIcon
      banner
      title={t(end <= now ? 'trust.ended' : 'trust.ends', words)}
      data-trust={certificate.what}
    />
  );
}
