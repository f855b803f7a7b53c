// Keeps the colours of programs legible on the backgrounds of both themes.

import { type Colour, paletteColour, type Style } from "./ansi";

/** The contrast of text, slightly above the 4.5 of WCAG AA. */
const CONTRAST = 4.6;
const LIGHT_SURFACE = luminanceOf("#f0f0ec");
const DARK_SURFACE = luminanceOf("#22252a");

export interface Painted {
  /** The classes of the style sheet. */
  className: string;
  /** Custom properties for colours that have no class. */
  variables: Record<string, string> | null;
}

const painted = new Map<string, Painted>();
const PAINTED_MAX = 2_000;

/** Returns the classes and custom properties that show a style. */
export function paint(style: Style): Painted {
  const key = JSON.stringify(style);
  const known = painted.get(key);
  if (known !== undefined) return known;
  if (painted.size >= PAINTED_MAX) painted.clear();
  const made = make(style);
  painted.set(key, made);
  return made;
}

function make(style: Style): Painted {
  const classes: string[] = [];
  const variables: Record<string, string> = {};
  if (style.bold) classes.push("ansi-bold");
  if (style.dim) classes.push("ansi-dim");
  if (style.italic) classes.push("ansi-italic");
  if (style.underline) classes.push("ansi-underline");
  if (style.strike) classes.push("ansi-strike");
  const [fg, bg] = style.inverse ? [style.bg, style.fg] : [style.fg, style.bg];
  if (style.inverse && fg === undefined && bg === undefined) classes.push("ansi-inverse");
  if (bg !== undefined) {
    background(bg, classes, variables);
    if (fg === undefined || bothFixed(fg, bg) === null) {
      const ground = rgbOf(bg);
      classes.push("ansi-over");
      variables["--ansi-over"] = luminanceOf(ground) > 0.18 ? "#000000" : "#ffffff";
    } else {
      classes.push("ansi-over");
      variables["--ansi-over"] = bothFixed(fg, bg) ?? "#000000";
    }
  } else if (fg !== undefined) {
    if (typeof fg === "number" && fg < 16) classes.push(`ansi-fg-${fg}`);
    else {
      const colour = rgbOf(fg);
      classes.push("ansi-fg");
      variables["--ansi-light"] = against(colour, LIGHT_SURFACE);
      variables["--ansi-dark"] = against(colour, DARK_SURFACE);
    }
  }
  if (style.inverse && bg === undefined && fg !== undefined) classes.push("ansi-inverse");
  return {
    className: classes.join(" "),
    variables: Object.keys(variables).length > 0 ? variables : null,
  };
}

/** Sets a background, which keeps its colour; the text on it is adjusted. */
function background(bg: Colour, classes: string[], variables: Record<string, string>) {
  classes.push("ansi-bg");
  variables["--ansi-bg"] = rgbOf(bg);
}

/** Returns the text colour, adjusted as little as needed, or null if it stays illegible. */
function bothFixed(fg: Colour, bg: Colour): string | null {
  const ground = luminanceOf(rgbOf(bg));
  const moved = against(rgbOf(fg), ground);
  return contrast(luminanceOf(moved), ground) >= CONTRAST ? moved : null;
}

/** The first 16 colours of xterm, for backgrounds. */
const BASE = [
  "#1c1c1c",
  "#b3261e",
  "#1e7d34",
  "#8a6100",
  "#1f5fbf",
  "#8e3aa8",
  "#0f7480",
  "#c9ccd1",
  "#5c6370",
  "#e5534b",
  "#3fa35c",
  "#d9a21b",
  "#5294e2",
  "#c678dd",
  "#3fb6c2",
  "#ffffff",
];

function rgbOf(colour: Colour): string {
  if (typeof colour === "string") return colour;
  return colour < 16 ? (BASE[colour] ?? "#000000") : paletteColour(colour);
}

function channels(hex: string): [number, number, number] {
  const value = parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** Returns the relative luminance of WCAG 2. */
export function luminanceOf(hex: string): number {
  const [r, g, b] = channels(hex).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a: number, b: number): number {
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

/** Mixes a colour with black or white until it is legible on a surface of a luminance. */
export function against(colour: string, surface: number): string {
  const target = contrast(1, surface) > contrast(0, surface) ? 255 : 0;
  for (let part = 0; part <= 1; part += 0.05) {
    const mixed = channels(colour).map((value) => Math.round(value + (target - value) * part));
    const hex = `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    if (contrast(luminanceOf(hex), surface) >= CONTRAST) return hex;
  }
  return target === 255 ? "#ffffff" : "#000000";
}
