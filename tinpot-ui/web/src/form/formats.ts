// The formats of `docs/types.md`: checks, and conversions from and to the way people write them.

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIME =
  /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.\d{1,6})?)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/;
const DURATION =
  /^-?P(?=[\dT])(?:\d+(?:\.\d+)?W)?(?:\d+(?:\.\d+)?D)?(?:T(?=\d)(?:\d+(?:\.\d+)?H)?(?:\d+(?:\.\d+)?M)?(?:\d+(?:\.\d+)?S)?)?$/;
const DECIMAL = /^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const OFFSET = /(Z|[+-]\d\d:\d\d)$/;

function isDate(text: string): boolean {
  const parts = DATE.exec(text);
  if (parts === null) return false;
  const [year, month, day] = [Number(parts[1]), Number(parts[2]), Number(parts[3])];
  const days = [
    31,
    (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28,
    31,
    30,
    31,
    30,
    31,
    31,
    30,
    31,
    30,
    31,
  ];
  return year >= 1 && day >= 1 && day <= (days[month - 1] ?? 0);
}

/** Returns the error of a text that lacks a format, or null. Unknown formats allow any text. */
export function formatProblem(format: string, text: string): string | null {
  const ok = (right: boolean, message: string): string | null => (right ? null : message);
  switch (format) {
    case "date":
      return ok(isDate(text), "must be an existing date, as YYYY-MM-DD");
    case "time":
      return ok(TIME.test(text), "must be a time, as HH:MM or HH:MM:SS");
    case "date-time":
      return ok(
        /^.{10}[T ]/.test(text) && isDate(text.slice(0, 10)) && TIME.test(text.slice(11)),
        "must be a date and time, as YYYY-MM-DD HH:MM",
      );
    case "duration":
      return ok(DURATION.test(text), "must be a duration, such as 1h 30m or 90 (seconds)");
    case "decimal":
      return ok(DECIMAL.test(text), "must be a decimal number");
    case "uuid":
      return ok(UUID.test(text), "must be a UUID, as 8-4-4-4-12 hexadecimal digits");
    case "path":
      return ok(text !== "" && !text.includes("\0"), "must be a path");
    case "binary":
      return ok(BASE64.test(text) || isUpload(text), "must be base64");
    default:
      return null;
  }
}

const UNITS: Record<string, number> = {
  w: 604800,
  week: 604800,
  weeks: 604800,
  d: 86400,
  day: 86400,
  days: 86400,
  h: 3600,
  hour: 3600,
  hours: 3600,
  m: 60,
  min: 60,
  mins: 60,
  minute: 60,
  minutes: 60,
  s: 1,
  sec: 1,
  secs: 1,
  second: 1,
  seconds: 1,
  ms: 0.001,
};

/** Returns seconds as an ISO 8601 duration: `P1DT2H30M`. */
export function isoDuration(seconds: number): string {
  const micros = Math.round(Math.abs(seconds) * 1e6);
  const [days, hours, minutes] = [
    Math.floor(micros / 86400e6),
    Math.floor(micros / 3600e6) % 24,
    Math.floor(micros / 60e6) % 60,
  ];
  const rest = (micros % 60e6) / 1e6;
  const part = (value: number, unit: string): string => (value > 0 ? `${value}${unit}` : "");
  const time =
    part(hours, "H") +
    part(minutes, "M") +
    (rest > 0 ? `${rest.toFixed(6).replace(/\.?0+$/, "")}S` : "");
  const text = `P${part(days, "D")}${time === "" ? "" : `T${time}`}`;
  if (text === "P") return "PT0S";
  return seconds < 0 ? `-${text}` : text;
}

/**
 * Returns the ISO 8601 duration of a text: `1h 30m`, `90`, `1.5 h`, `1:30:00` or `P1D`. Returns
 * null for any other text.
 */
export function parseDuration(text: string): string | null {
  const trimmed = text.trim();
  const iso = trimmed.toUpperCase();
  if (DURATION.test(iso)) return iso;
  const negative = trimmed.startsWith("-");
  let rest = trimmed.replace(/^[+-]\s*/, "").toLowerCase();
  let seconds = 0;
  const clock = /^(\d+):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?$/.exec(rest);
  if (clock !== null) {
    seconds = Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3] ?? 0);
  } else if (/^\d+(\.\d+)?$/.test(rest)) {
    seconds = Number(rest);
  } else {
    if (rest === "") return null;
    while (rest !== "") {
      const part = /^(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*/.exec(rest);
      const unit = part === null ? undefined : UNITS[part[2] ?? ""];
      if (part === null || unit === undefined) return null;
      seconds += Number(part[1]) * unit;
      rest = rest.slice(part[0].length);
    }
  }
  return isoDuration(negative ? -seconds : seconds);
}

/** Returns a readable duration: `1d 2h 30m` for `P1DT2H30M`. */
export function durationText(iso: string): string {
  const parts = iso.replace(/^-?P|T/g, "").match(/[\d.]+[WDHMS]/g);
  if (parts === null) return iso;
  // Durations have no months, so M is always a minute.
  return (iso.startsWith("-") ? "-" : "") + parts.map((part) => part.toLowerCase()).join(" ");
}

/** Returns the seconds of an ISO 8601 duration. */
export function durationSeconds(iso: string): number {
  let seconds = 0;
  for (const [, value, unit] of iso.matchAll(/([\d.]+)([WDHMS])/g))
    seconds += Number(value) * (UNITS[(unit ?? "").toLowerCase()] ?? 0);
  return iso.startsWith("-") ? -seconds : seconds;
}

export function hasOffset(dateTime: string): boolean {
  return OFFSET.test(dateTime);
}

function parts(local: string): [number, number, number, number, number, number] | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?/.exec(local);
  if (found === null) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1)
    .map((part) => Number(part ?? 0));
  return [year, month, day, hour, minute, Number.isNaN(second) ? 0 : second];
}

/** Returns the UTC offset of a local time, as `+02:00`; null for a time that the clock skips. */
export function offsetAt(local: string): string | null {
  const at = parts(local);
  if (at === null) return null;
  const date = new Date(at[0], at[1] - 1, at[2], at[3], at[4], at[5]);
  if (at[0] < 100) date.setFullYear(at[0]);
  if (date.getHours() !== at[3] || date.getMinutes() !== at[4]) return null;
  const minutes = -Math.round(date.getTimezoneOffset());
  const two = (value: number): string => String(value).padStart(2, "0");
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** Returns a time with an offset in the browser's zone: `2026-01-31T14:30`. */
export function toLocal(dateTime: string): string {
  const date = new Date(dateTime.replace(" ", "T"));
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const fraction = /:\d\d(\.\d+)/.exec(dateTime)?.[1] ?? "";
  const seconds =
    date.getSeconds() > 0 || fraction !== ""
      ? `:${two(date.getSeconds())}${fraction.slice(0, 4)}`
      : "";
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}${seconds}`;
}

/** Returns the base64 of a text in UTF-8. */
export function base64OfText(text: string): string {
  return base64OfBytes(new TextEncoder().encode(text));
}

export function base64OfBytes(bytes: Uint8Array): string {
  let binary = "";
  // In pieces, because the number of arguments of a call is limited.
  for (let at = 0; at < bytes.length; at += 0x8000)
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

/** Returns the text of base64, or null if it is not UTF-8 or has control characters. */
export function textOfBase64(base64: string): string | null {
  try {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[\0-\x08\x0e-\x1f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Returns true if a text stands for bytes that were uploaded. */
export function isUpload(text: string): boolean {
  return /^upload:[0-9a-f]{64}$/.test(text);
}

export function base64Size(base64: string): number {
  return Math.max(
    0,
    (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0),
  );
}
