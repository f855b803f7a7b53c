import { href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { Empty, PageHead } from "../ui";

export function NotFoundPage() {
  useTitle("Not found");
  return (
    <>
      <PageHead title="Not found" />
      <Empty title="Page not found" icon="search">
        <a href={href("/")}>Go to the overview</a>
      </Empty>
    </>
  );
}
