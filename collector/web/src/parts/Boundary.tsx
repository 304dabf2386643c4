import { Component, type ReactNode } from 'react';
import { Alert, Button } from 'antd';
import { useI18n } from '../i18n';

/** Shows words instead of an empty page when a page fails (or a file of an older version is gone). */
export class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const { t } = useI18n();
  return (
    <div className="notice">
      <Alert
        type="error"
        showIcon
        title={t('app.broken')}
        description={t('app.broken-hint')}
        action={<Button onClick={() => location.reload()}>{t('app.reload')}</Button>}
      />
    </div>
  );
}
