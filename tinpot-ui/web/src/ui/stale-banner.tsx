import { Icon } from "./icons";

interface StaleBannerProps {
  /** The browser's time in milliseconds at which the server last responded. */
  since: number | null;
}

/** The notice of a page whose server does not respond: what it shows may have changed. */
export function StaleBanner({ since }: StaleBannerProps) {
  const at =
    since === null ? null : new Date(since).toLocaleTimeString(undefined, { hourCycle: "h23" });
  return (
    <div class="stale-banner" role="status">
      <Icon name="warning" />
      <span>
        <strong>Disconnected from the server.</strong>{" "}
        {at === null ? "This page may be out of date." : `This page shows the state of ${at}.`}
      </span>
    </div>
  );
}
