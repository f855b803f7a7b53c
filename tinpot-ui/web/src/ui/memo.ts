import { Component, type ComponentChildren, type FunctionComponent } from "preact";

/**
 * Returns a component that renders again only when a property changes.
 *
 * It is the only part of `preact/compat` that the UI needs, and saves a kilobyte.
 */
export function memo<P extends object>(
  render: (props: P) => ComponentChildren,
): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const now = this.props as Record<string, unknown>;
      const names = Object.keys(next);
      return (
        names.length !== Object.keys(now).length ||
        names.some((name) => (next as Record<string, unknown>)[name] !== now[name])
      );
    }

    render(props: P): ComponentChildren {
      return render(props);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
