export function ExecutionPage({ id }: { id: string }) {
  return <p>Execution {id}</p>;
}
