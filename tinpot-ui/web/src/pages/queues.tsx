export function QueuesPage() {
  return <p>QueuesPage</p>;
}
