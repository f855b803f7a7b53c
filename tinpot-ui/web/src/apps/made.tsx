import { Time } from "../ui";

/** The time at which something was made, and by whom unless the server does not know. */
export function Made({ at, by }: { at: string; by: string }) {
  return (
    <>
      <Time at={at} />
      {by !== "" && (
        <>
          {" "}
          by <b>{by}</b>
        </>
      )}
    </>
  );
}
