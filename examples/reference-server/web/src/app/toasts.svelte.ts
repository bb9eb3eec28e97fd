export interface Toast {
  id: number;
  text: string;
  kind: 'done' | 'failed';
}

const SHOWN_MS = 3_500;

class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 1;

  done(text: string): void {
    this.#show(text, 'done');
  }

  failed(text: string): void {
    this.#show(text, 'failed');
  }

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  #show(text: string, kind: Toast['kind']): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-2), { id, text, kind }];
    // A failure stays until it is read.
    if (kind === 'done') setTimeout(() => this.close(id), SHOWN_MS);
  }
}

export const toasts = new Toasts();
