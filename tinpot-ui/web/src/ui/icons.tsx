// Icons as strokes on a grid of 16, in the colour of the text.
const PATHS = {
  overview: "M2.5 13.5h11M4.5 11V8M8 11V4M11.5 11V6.5",
  actions: "M5 3.2v9.6L12.5 8z",
  apps: "M8 2l5.5 3v6L8 14l-5.5-3V5zM2.5 5L8 8l5.5-3M8 8v6",
  history: "M2.7 8a5.3 5.3 0 1 0 1.7-3.9M2.5 2.5v2.8h2.8M8 5v3.2l2 1.3",
  workers: "M3 3.5h10v4H3zM3 8.5h10v4H3zM5 5.5h.01M5 10.5h.01",
  queues: "M2.5 4.5h11M2.5 8h11M2.5 11.5h7",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3l3.2 3.2",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3.5v9M3.5 8h9",
  up: "M8 12.5v-9M4.5 7L8 3.5 11.5 7",
  down: "M8 3.5v9M4.5 9L8 12.5 11.5 9",
  right: "M6 3.5L10.5 8 6 12.5",
  reset: "M3.5 6.5h6a3.2 3.2 0 0 1 0 6.4H6M3.5 6.5L6 4M3.5 6.5L6 9",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.3 5.3 0 1 0 6.6 6.6z",
  system: "M2.5 3.5h11v7h-11zM6 13h4",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  check: "M3.5 8.5l3 3 6-7",
  warning: "M8 2.5l6 10.5H2zM8 6.5v3M8 11.3h.01",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  calendar: "M3 4h10v9.5H3zM3 7h10M5.5 2.5v2.5M10.5 2.5v2.5",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  list: "M2.5 4h.01M5.5 4h8M2.5 8h.01M5.5 8h8M2.5 12h.01M5.5 12h8",
  grid: "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
  bookmark: "M4.5 2.5h7v11L8 10.5l-3.5 3z",
  wrap: "M2.5 4h11M2.5 8h8.5a2.2 2.2 0 0 1 0 4.4H8M9.5 10.8L8 12.4l1.5 1.6M2.5 12h2.5",
  follow: "M4.5 3.5L8 7l3.5-3.5M4.5 8.5L8 12l3.5-3.5",
  first: "M3 2.5h10M8 13.5v-8M4.8 8.5L8 5.3l3.2 3.2",
  last: "M3 13.5h10M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2",
  upload: "M8 9.5v-7M5 5.5l3-3 3 3M3 10.5v2.8h10v-2.8",
  compare: "M5 3L2.5 5.5 5 8M2.5 5.5h9M11 8l2.5 2.5L11 13M13.5 10.5h-9",
  download: "M8 2.5v7M5 7l3 3 3-3M3 10.5v2.8h10v-2.8",
  clock: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM8 5v3.2l2 1.3",
  user: "M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8zM2.8 13.6c.4-2.4 2.4-3.8 5.2-3.8s4.8 1.4 5.2 3.8",
  members:
    "M6 7.8a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8zM1.7 13c.3-2.2 2-3.4 4.3-3.4s4 1.2 4.3 3.4M10.5 3.2a2.4 2.4 0 0 1 0 4.4M12 9.9c1.4.5 2.2 1.6 2.4 3.1",
  key: "M5.2 13a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM7.2 8.4L12.8 3M10.5 5.2l2 2",
  audit: "M4 2.5h8v11H4zM6.3 5.5h3.4M6.3 8h3.4M6.3 10.5h2",
  child: "M4 3v6.5h8M9.5 7L12 9.5 9.5 12",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
