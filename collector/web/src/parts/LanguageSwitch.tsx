import { GlobalOutlined } from '@ant-design/icons';
import { useI18n } from '../i18n';
import { useSession } from '../session';

/** Offers the other language, named in itself. */
export function LanguageSwitch({ dark = true }: { dark?: boolean }) {
  const { language, t } = useI18n();
  const { chooseLanguage } = useSession();
  const other = language === 'en' ? 'zh-CN' : 'en';
  return (
    <button
      type="button"
      className={dark ? 'quiet' : 'quiet light'}
      lang={other}
      aria-label={t(`language.${other}`)}
      data-language={other}
      onClick={() => chooseLanguage(other)}
    >
      <GlobalOutlined aria-hidden="true" /> {t(`language.${other}`)}
    </button>
  );
}
