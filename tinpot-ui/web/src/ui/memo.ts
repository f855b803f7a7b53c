import { Component, type ComponentChildren, type FunctionComponent } from "preact";

/** A component that is drawn again only when one of its properties is another. All that we need of `preact/compat`, which is a kilobyte. */
export function memo<P extends object>(
  draw: (props: P) => ComponentChildren,
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
      return draw(props);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
