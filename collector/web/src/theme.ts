import type { ThemeConfig } from 'antd';

export const theme: ThemeConfig = {
  token: {
    fontFamily: 'var(--sans)',
    fontFamilyCode: 'var(--mono)',
    fontSize: 14,
    borderRadius: 4,
    colorPrimary: '#1460aa',
    colorLink: '#1460aa',
    colorText: '#1b2733',
    colorTextSecondary: '#4a5868',
    // Placeholders and hints must be readable too (AA on white).
    colorTextTertiary: '#5d6b7a',
    colorTextPlaceholder: '#6a7786',
    colorBgLayout: '#f2f4f7',
    motion: false,
  },
  components: {
    Table: { headerBg: '#eef1f5', headerColor: '#38485a', cellPaddingBlockSM: 6, cellPaddingInlineSM: 8 },
  },
};
