import { gate } from "../api/gate";
import { ApiError, errorText } from "../api/transport";
import { Button } from "./button";
import { Icon } from "./icons";

/** An error with its message, and a button that repeats the request. */
export function ErrorBox({
  error,
  retry,
  title,
}: {
  error: unknown;
  retry?: () => void;
  title?: string;
}) {
  const unreachable = error instanceof ApiError && error.unreachable;
  const signedOut = error instanceof ApiError && error.status === 401;
  const again = (): void => {
    gate.ask();
    retry?.();
  };
  return (
    <div class="error-box" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{title ?? (unreachable ? "Cannot reach the server" : "Request failed")}</strong>
        <p>{errorText(error)}</p>
      </div>
      {retry !== undefined && <Button onClick={again}>{signedOut ? "Sign in" : "Retry"}</Button>}
    </div>
  );
}
