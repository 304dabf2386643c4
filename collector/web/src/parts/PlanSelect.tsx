import { Select } from 'antd';
import { api } from '../api';
import { useI18n } from '../i18n';
import { useFetched } from '../live/fetched';

const load = (signal: AbortSignal) => api.plans(signal);
const never = () => false;

/** One of the service plans that may be promised. */
export function PlanSelect({ value, onChange }: { value: string; onChange(name: string): void }) {
  const { t, language } = useI18n();
  const { data, loading } = useFetched(load, never);
  return (
    <Select
      data-field="plan"
      showSearch={{ optionFilterProp: 'label' }}
      allowClear
      loading={loading}
      placeholder={t('plan.choose')}
      value={value === '' ? null : value}
      options={(data?.items ?? []).map(({ name, plan }) => ({ value: name, label: `${plan.title[language]} (${name})` }))}
      onChange={(name: string | null | undefined) => onChange(name ?? '')}
    />
  );
}
