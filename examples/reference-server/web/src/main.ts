import { mount } from 'svelte';
import './styles/index.css';
import App from './app/App.svelte';

const RELOADED = 'auterity.reloaded';

// After a new deployment an open tab asks for chunks that are gone: load the new app, once.
addEventListener('vite:preloadError', (event) => {
  if (sessionStorage.getItem(RELOADED)) return;
  event.preventDefault();
  sessionStorage.setItem(RELOADED, '1');
  location.reload();
});
addEventListener('load', () => setTimeout(() => sessionStorage.removeItem(RELOADED), 10_000));

const target = document.getElementById('app');
if (target) mount(App, { target });
