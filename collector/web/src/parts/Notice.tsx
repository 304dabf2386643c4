import { Alert, Button, Spin } from 'antd';
import { useI18n } from '../i18n';

/** Something is on its way. */
export function Loading() {
  const { t } = useI18n();
  return (
    <div className="notice" role="status" aria-label={t('app.loading')}>
      <Spin size="large" />
    </div>
  );
}

/** Something did not work, in words, with a way out where there is one. */
export function Trouble({ text, onRetry }: { text: string; onRetry?: () => void }) {
  const { t } = useI18n();
  return (
    <div className="notice">
      <Alert
        type="warning"
        showIcon
        title={text}
        action={
          onRetry && (
            <Button size="small" onClick={onRetry}>
              {t('app.retry')}
            </Button>
          )
        }
      />
    </div>
  );
}
