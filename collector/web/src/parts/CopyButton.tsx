import { CheckOutlined, CopyOutlined } from '@ant-design/icons';
import { App, Button } from 'antd';
import { useEffect, useState } from 'react';
import { useI18n } from '../i18n';

/** Puts a text into the clipboard and says so. */
export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const wait = setTimeout(() => setDone(false), 2_000);
    return () => clearTimeout(wait);
  }, [done]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
    } catch {
      void message.warning(t('evidence.copy-failed'));
    }
  };
  return (
    <Button size="small" icon={done ? <CheckOutlined /> : <CopyOutlined />} onClick={() => void copy()}>
      {done ? t('evidence.copied') : (label ?? t('evidence.copy'))}
    </Button>
  );
}
