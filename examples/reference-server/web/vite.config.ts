import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { brotli, preloadFont } from './build/embed.ts';

// The server takes the session's cookie only from pages of its own address: keep the browser's.
const server = { target: process.env.AUTERITY_DEV_SERVER ?? 'http://127.0.0.1:8080', changeOrigin: false };

export default defineConfig(({ mode }) => ({
  plugins: [svelte({ configFile: false }), preloadFont(), brotli()],
  publicDir: 'static',
  // Without this, tests would load Svelte's server build.
  resolve: mode === 'test' ? { conditions: ['browser'] } : {},
  build: {
    target: 'es2023',
    emptyOutDir: true,
    // The security policy allows fonts and styles from this origin only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  server: {
    port: 5173,
    proxy: { '/api': server, '/.well-known': server },
  },
  test: {
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
  },
}));
