import { Alert, App, Button, Input, Modal, Popconfirm } from 'antd';
import { useState } from 'react';
import { api, type Article, type ArticleWish } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';

interface Props {
  /** Null: a new one. */
  article: Article | null;
  /** Of a new one: its code, if it is known already. */
  code?: string;
  mayWrite: boolean;
  mayRemove: boolean;
  onSaved(): void;
  onClose(): void;
}

const LONG = ['symptom', 'cause', 'fix'] as const;

/** One article, to read or to write. */
export function ArticleDialogue({ article, code = '', mayWrite, mayRemove, onSaved, onClose }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [wish, setWish] = useState<ArticleWish>({
    version: article?.version ?? 0,
    code: article?.code ?? code,
    title: article?.title ?? '',
    symptom: article?.symptom ?? '',
    cause: article?.cause ?? '',
    fix: article?.fix ?? '',
  });
  const [trouble, setTrouble] = useState('');
  const [busy, setBusy] = useState(false);
  const put = (part: Partial<ArticleWish>) => setWish((now) => ({ ...now, ...part }));
  const run = async (act: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await act();
      void message.success(t('masters.saved', { id: wish.code }));
      onSaved();
      onClose();
    } catch (error) {
      setTrouble(errorText(error, t));
      setBusy(false);
    }
  };
  const save = () => void run(() => (article === null ? api.addArticle(wish) : api.changeArticle(article.id, wish)));
  return (
    <Modal
      open
      width={760}
      title={article === null ? t('article.new') : article.code}
      mask={{ closable: false }}
      onCancel={onClose}
      footer={
        mayWrite
          ? [
              article !== null && mayRemove && (
                <Popconfirm
                  key="remove"
                  title={t('masters.remove-sure', { id: article.code })}
                  onConfirm={() => void run(() => api.removeArticle(article.id, article.version))}
                >
                  <Button danger>{t('masters.remove')}</Button>
                </Popconfirm>
              ),
              <Button key="cancel" onClick={onClose}>
                {t('masters.cancel')}
              </Button>,
              <Button
                key="save"
                type="primary"
                data-action="save-article"
                loading={busy}
                disabled={wish.code.trim() === '' || wish.title.trim() === ''}
                onClick={save}
              >
                {t('masters.save')}
              </Button>,
            ]
          : null
      }
    >
      <div className="stacked">
        {trouble !== '' && <Alert type="warning" showIcon title={trouble} />}
        <label className="stacked">
          <span>{t('article.code')}</span>
          <Input name="article-code" disabled={article !== null || !mayWrite} maxLength={100} value={wish.code} onChange={(e) => put({ code: e.target.value })} />
        </label>
        <label className="stacked">
          <span>{t('article.title')}</span>
          <Input name="article-title" disabled={!mayWrite} maxLength={200} value={wish.title} onChange={(e) => put({ title: e.target.value })} />
        </label>
        {LONG.map((name) => (
          <label key={name} className="stacked">
            <span>{t(`article.${name}`)}</span>
            <Input.TextArea
              name={`article-${name}`}
              autoSize={{ minRows: 3, maxRows: 12 }}
              disabled={!mayWrite}
              maxLength={4000}
              value={wish[name]}
              onChange={(e) => put({ [name]: e.target.value })}
            />
          </label>
        ))}
      </div>
    </Modal>
  );
}
