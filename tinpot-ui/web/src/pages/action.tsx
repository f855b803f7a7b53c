export function ActionPage({ name }: { name: string }) {
  return <p>{name}</p>;
}
