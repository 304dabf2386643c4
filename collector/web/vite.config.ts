import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { fixture } from './dev/fixture.ts';

// `npm run dev` speaks to a real collector, `npm run dev:fixture` to made-up tickets in memory.
const collector = process.env.CALLHOME_COLLECTOR ?? 'https://localhost:8443';

export default defineConfig(({ mode }) => ({
  plugins: [react(), ...(mode === 'fixture' ? [fixture()] : [])],
  server: {
    port: 5173,
    proxy: mode === 'fixture' ? {} : { '/api': { target: collector, secure: false } },
  },
  build: {
    target: 'es2022',
    // Nothing inline: the collector's content security policy allows files of its own only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
    rolldownOptions: {
      output: {
        // The libraries change seldom: a file of their own stays cached across upgrades.
        codeSplitting: {
          groups: [{ name: 'library', test: /node_modules/, tags: ['$initial'] }],
        },
      },
    },
  },
  test: { environment: 'happy-dom', include: ['test/**/*.test.{ts,tsx}'] },
}));
