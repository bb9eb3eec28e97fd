export type Theme = 'system' | 'light' | 'dark';

const KEY = 'auterity.theme';
const ORDER: Theme[] = ['system', 'light', 'dark'];

const LABELS: Record<Theme, string> = { system: 'as the system', light: 'light', dark: 'dark' };

class ThemeChoice {
  value = $state<Theme>(read());
  readonly label = $derived(LABELS[this.value]);

  /** System, light, dark, and around again. */
  next(): void {
    this.value = ORDER[(ORDER.indexOf(this.value) + 1) % ORDER.length]!;
    const root = document.documentElement;
    if (this.value === 'system') delete root.dataset.theme;
    else root.dataset.theme = this.value;
    try {
      if (this.value === 'system') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, this.value);
    } catch {
      // Storage may be closed to us; the choice then lasts as long as the page.
    }
  }
}

function read(): Theme {
  const value = document.documentElement.dataset.theme;
  return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = new ThemeChoice();
