/** The time of day, for distances such as "4 min ago"; one timer for the whole page. */
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.now = Date.now();
    }, 10_000);
  }
}

export const wallClock = new Clock();
